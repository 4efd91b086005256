"""What the protocol and its guidelines say, as functions: LI-RADS today; windows and endpoints beside it."""
