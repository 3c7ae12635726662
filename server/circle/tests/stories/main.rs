//! Stories of one circle on virtual time: what people are told, and what sound and picture are told.

mod door;
mod golden;
mod moderation;
mod presence;
mod stage;
mod talk;
