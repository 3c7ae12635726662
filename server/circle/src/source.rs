//! What a person sends: microphone, camera, screen.

use serde::{Deserialize, Serialize};

/// One of the three things a host may stop. A screen's sound goes with the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    Microphone,
    Camera,
    Screen,
}
