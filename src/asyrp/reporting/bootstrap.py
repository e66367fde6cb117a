"""The names of `statistics` as they were; goes once nothing imports it."""

from asyrp.reporting.statistics import DRAWS, Estimate, of_mean, of_statistic, of_strata, resamples

__all__ = ["DRAWS", "Estimate", "of_mean", "of_statistic", "of_strata", "resamples"]
