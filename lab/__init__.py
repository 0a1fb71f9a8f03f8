"""What serves study, not a run: experiments, benchmarks and their results. Imports the product, never the other way."""
