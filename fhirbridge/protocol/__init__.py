"""What the protocol and its guidelines say, as functions: LI-RADS and visit windows; endpoints come beside them."""
