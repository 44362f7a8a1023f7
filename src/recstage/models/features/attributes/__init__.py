"""Features of declared attributes: what is known of the user (profile), and of the request's moment (context)."""

from recstage.models.features.attributes.group import AttributesGroup, ContextAttributes, ProfileAttributes

__all__ = ["AttributesGroup", "ContextAttributes", "ProfileAttributes"]
