#include "lib/size.h"

#include <math.h>
#include "lib/buf.h"

void size_human(int64_t bytes, char *into, size_t size)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double value = (double)bytes;
	size_t unit = 0;
	while (value >= 1024 && unit + 1 < ARRAY_LEN(units)) {
		value /= 1024;
		unit++;
	}
	if (unit == 0 || value >= 1000 || fabs(value - round(value)) < 0.05)
		str_format(into, size, "%.0f %s", value, units[unit]);
	else
		str_format(into, size, "%.1f %s", value, units[unit]);
}
