//! Secrets in answers: shown as eight stars, which a form may send back.

use serde::{Serialize, Serializer};

/// What stands in an answer where a secret is set. Not empty, because forms mark these fields required.
pub const MASK: &str = "********";

/// A secret that is set; prints as [`MASK`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Masked;

impl utoipa::PartialSchema for Masked {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::Type::String)
            .examples([MASK])
            .into()
    }
}

impl utoipa::ToSchema for Masked {}

impl Serialize for Masked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

/// Whether an update's secret means "unchanged": empty, or the mask sent back.
pub fn is_masked(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || text == MASK
}
