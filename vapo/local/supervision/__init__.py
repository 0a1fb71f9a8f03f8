"""Processes that are kept running: started under a guard, watched, started again or given up."""
