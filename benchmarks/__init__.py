"""What is measured, one command each; every figure stands beside its baseline and ceiling."""
