"""Whether something that was sampled over time stays the same: samples are (seconds, value)."""
import statistics


def slope(samples):
    """Theil–Sen: the median of the slopes between all pairs, which single peaks do not move."""
    pairs = [(b[1] - a[1]) / (b[0] - a[0]) for i, a in enumerate(samples) for b in samples[i + 1:] if b[0] > a[0]]
    return statistics.median(pairs) if pairs else 0.0


def second_half(samples):
    """What comes after the caches, pools and bounds have filled up."""
    if not samples:
        return []
    middle = (samples[0][0] + samples[-1][0]) / 2
    return [one for one in samples if one[0] >= middle]


def growth(samples):
    """By how much it grew over the second half, steadily."""
    half = second_half(samples)
    return slope(half) * (half[-1][0] - half[0][0]) if len(half) > 1 else 0.0


def level(samples):
    return statistics.median(value for _, value in second_half(samples)) if samples else 0.0
