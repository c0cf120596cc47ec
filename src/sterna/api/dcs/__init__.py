"""DCS v2: data migration of Redis, as the vendor's SDKs and Terraform providers ask it."""
