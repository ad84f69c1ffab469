"""Networks in virtual time, and what watches them."""
