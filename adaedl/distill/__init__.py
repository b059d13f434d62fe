"""The recipe that made the shipped drafter: generate teacher text, train, evaluate."""
