"""Files of problems on their way to the gateway: reading, requests, what was refused."""
