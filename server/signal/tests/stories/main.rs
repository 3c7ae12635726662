//! Stories of one room on virtual time: what clients are told and what the media plane is told.

mod backup;
mod data;
mod data_track;
mod dual;
mod happening;
mod isolation;
mod join;
mod metadata;
mod presence;
mod publish;
mod restrain;
mod resume;
mod stage;
mod subscribe;
