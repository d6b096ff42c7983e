"""What real payments look like at the door, as data: small inputs and what must come out, in both profiles."""
