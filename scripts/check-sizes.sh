#!/usr/bin/env bash
# A file has at most 500 lines, a function at most 60: from its opening to its closing brace, which
# clang-format puts at the start of a line.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck disable=SC2016 # the dollars are for awk
git ls-files '*.c' '*.h' '*.lua' '*.py' '*.sh' | xargs awk '
	FNR == 1 { start = 0 }
	FNR == 501 { print FILENAME ": more than 500 lines"; bad = 1 }
	/^\{/ && FILENAME ~ /\.c$/ { start = FNR; name = last }
	/^\}/ && start {
		if (FNR - start - 1 > 60) {
			print FILENAME ":" start ": " FNR - start - 1 " lines in: " name
			bad = 1
		}
		start = 0
	}
	{ last = $0 }
	END { exit bad }'
