"""IAM: who may come in, as Keystone v3 clients and the vendor's SDKs ask it."""
