"""Statistics of experiments, from the sums that dbt built and from nothing else.

`reading` gets the rows, `results` compares variations by `welch` and `sequence`, `words` says what
it means. scipy and statsmodels are imported where they are used: they are an extra, and slow.
"""
