"""DRS v3 and v5, as the vendors' SDKs and Terraform providers ask it."""
