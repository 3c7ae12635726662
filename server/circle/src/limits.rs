//! Every bound and every period of the circle, with what a higher or lower value costs.

use std::time::Duration;

/// People in one room, text-only ones included. Every arrival tells everybody: messages grow with the square.
pub const CAPACITY_MAX: u32 = 500;
/// What a new room starts with: a conversation, not a broadcast.
pub const CAPACITY_DEFAULT: u32 = 100;
/// People before the door. Hosts are told the whole list at each change: higher costs a flood of it.
pub const WAITING_MAX: usize = 1000;
/// People who left and are remembered (role, seat, hand). Higher: memory for each name that ever came; lower: who
/// comes back to a busy room finds their role and hand forgotten.
pub const REMEMBERED_MAX: usize = 2048;
/// Somebody whose sockets are all gone stays visible for this long. Higher: ghosts after a closed tab; lower: a page
/// that reloads seems to leave and to come.
pub const RETURN_GRACE: Duration = Duration::from_secs(5);
/// A seat that was left is kept for this long. Higher: gaps are filled later; lower: who comes back from a tunnel
/// sits elsewhere.
pub const SEAT_KEPT: Duration = Duration::from_secs(600);
/// Events kept for those who come back. Higher: memory per room; lower: they get the whole state more often.
pub const JOURNAL_MAX: usize = 256;
/// Texts kept for newcomers. The oldest go first.
pub const TEXTS_MAX: usize = 200;
/// Bytes of all kept texts together. Higher: newcomers wait for old words; lower: a long meeting forgets its start.
pub const TEXTS_BYTES_MAX: usize = 256 * 1024;
/// One text, characters.
pub const TEXT_MAX: usize = 2000;
/// One line to somebody who waits, the question of the day, a line of the agreement, characters.
pub const LINE_MAX: usize = 200;
/// Lines of an agreement.
pub const AGREEMENT_LINES_MAX: usize = 12;
/// People shown large at once. More than nine are small again.
pub const SPOTLIGHT_MAX: usize = 9;
/// People named in one command.
pub const LIST_MAX: usize = CAPACITY_MAX as usize;
/// A name, characters; longer ones are cut.
pub const NAME_MAX: usize = 64;
/// Minutes that a room may stay open without a host before it closes.
pub const CLOSE_MINUTES_MAX: u32 = 120;
/// Days that a room may keep its texts: a season, not an archive.
pub const HISTORY_DAYS_MAX: u32 = 90;
/// What a room that keeps texts for days starts with: until the same circle meets again.
pub const HISTORY_DAYS_DEFAULT: u32 = 7;
/// One command, bytes of JSON. The longest is a seat order of a full room.
pub const REQUEST_MAX: usize = 64 * 1024;
/// Commands of one person at once, and per second after that. Higher: one person keeps everybody's client busy;
/// lower: a host who tidies up a full room has to wait.
pub const COMMANDS_BURST: f64 = 30.0;
pub const COMMANDS_PER_SECOND: f64 = 5.0;
