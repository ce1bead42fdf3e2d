"""What the demo stands up on loopback: the sample shows' server and a mail sink."""
