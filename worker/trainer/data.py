"""Where batches come from, and the rule that makes an exact resume possible: a batch is a pure function of
(data, seed, step). Nothing is drawn from a generator that lives from step to step, so a run that starts again at
step 200 sees the same examples in the same order as one that never stopped."""
import csv
import hashlib
import random
from functools import lru_cache
from pathlib import Path


class BadData(Exception):
    """The data cannot be learned from; trying again would not help."""


def digest(text):
    """Tells whether a resumed run still learns from the same data."""
    return hashlib.sha256(text.encode()).hexdigest()


class Text:
    """Characters of a file, or of every .md and .txt file of a folder in the order of their paths."""

    def __init__(self, path, context):
        self.context = context
        text = "".join(self._read(file) for file in self._files(Path(path)))
        if len(text) < context + 2:
            raise BadData(f"{path}: {len(text)} characters are fewer than {context + 2}, which context {context} needs")
        self.digest = digest(text)
        self.vocabulary = "".join(sorted(set(text)))
        code = {character: number for number, character in enumerate(self.vocabulary)}
        self.codes = [code[character] for character in text]

    @staticmethod
    def _files(path):
        if path.is_file():
            return [path]
        if not path.is_dir():
            raise BadData(f"{path}: no such file or folder (relative paths start at {Path.cwd()})")
        files = sorted(file for file in path.rglob("*") if file.suffix in (".md", ".txt") and file.is_file())
        if not files:
            raise BadData(f"{path}: no .md or .txt file in this folder")
        return files

    @staticmethod
    def _read(file):
        try:
            return file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise BadData(f"{file}: not UTF-8 text: byte {error.start}") from None
        except OSError as error:
            raise BadData(f"{file}: {error.strerror}") from None

    def batch(self, seed, step, size):
        """size windows at random places, and the same windows one character on."""
        draw = random.Random(f"{seed}/{step}")
        starts = [draw.randrange(len(self.codes) - self.context) for _ in range(size)]
        windows = [self.codes[start:start + self.context + 1] for start in starts]
        return [window[:-1] for window in windows], [window[1:] for window in windows]


class Table:
    """Rows of numbers with a label in the last column, from a CSV file; the first line may name the columns.
    Columns are standardised, so that no unit of measure is too large to learn from."""

    def __init__(self, path):
        rows = self._rows(path)
        if rows and not self._is_numbers(rows[0][1]):
            rows = rows[1:]
        if len(rows) < 2:
            raise BadData(f"{path}: no two rows of data")
        examples = [self._example(path, line, row, width=len(rows[0][1])) for line, row in rows]
        self.digest = digest(repr(examples))
        self.labels = sorted({label for _, label in examples})
        if len(self.labels) < 2:
            raise BadData(f"{path}: every row has the label {self.labels[0]!r}: there is nothing to tell apart")
        self.means, self.deviations = zip(*(self._scale(column) for column in zip(*(row for row, _ in examples))))
        number = {label: i for i, label in enumerate(self.labels)}
        self.rows = [[(x - mean) / deviation for x, mean, deviation in zip(row, self.means, self.deviations)]
                     for row, _ in examples]
        self.classes = [number[label] for _, label in examples]

    @staticmethod
    def _rows(path):
        try:
            with open(path, newline="", encoding="utf-8") as file:
                reader = csv.reader(file)
                return [(reader.line_num, row) for row in reader if row]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise BadData(f"{path}: {getattr(error, 'strerror', None) or error}") from None

    @staticmethod
    def _is_numbers(row):
        try:
            return [float(cell) for cell in row[:-1]] != []
        except ValueError:
            return False

    @classmethod
    def _example(cls, path, line, row, width):
        if len(row) != width or not cls._is_numbers(row):
            raise BadData(f"{path}:{line}: expected {width - 1} numbers and a label, got {','.join(row)[:60]!r}")
        return [float(cell) for cell in row[:-1]], row[-1].strip()

    @staticmethod
    def _scale(column):
        mean = sum(column) / len(column)
        deviation = (sum((x - mean) ** 2 for x in column) / len(column)) ** 0.5
        return mean, deviation or 1.0

    @lru_cache(maxsize=1)
    def _order(self, seed, epoch):
        order = list(range(len(self.rows)))
        random.Random(f"{seed}/{epoch}").shuffle(order)
        return order

    def batch(self, seed, step, size):
        """The step-th piece of the rows, which are shuffled anew in each pass over them."""
        size = min(size, len(self.rows))
        epoch, piece = divmod(step, len(self.rows) // size)
        chosen = self._order(seed, epoch)[piece * size:(piece + 1) * size]
        return [self.rows[i] for i in chosen], [self.classes[i] for i in chosen]
