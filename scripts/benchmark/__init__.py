"""What scripts/bench is made of: a load generator, the proxies it loads, what they cost, and the report.

Self-contained: the standard library only, and nothing of the product, so that two commits are measured by one ruler.
"""
