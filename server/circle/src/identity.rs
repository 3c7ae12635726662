//! What names a person in a room: the token's identity, opaque.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// The identity of a room token. Cheap to clone: it is the key of every table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(value_type = String))]
pub struct Identity(Arc<str>);

impl Identity {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the operator, who has no place in a room: nobody else's identity is empty.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Identity {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}
