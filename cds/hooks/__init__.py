"""The point of care: CDS Hooks requests in, cards out."""

from cds.hooks.service import Service, load_services

__all__ = ["Service", "load_services"]
