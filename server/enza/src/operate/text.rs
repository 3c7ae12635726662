//! What people read of the API's answers.

use super::table::{minute, shown, table};
use crate::catalogue::Language;
use crate::welcome;
use serde_json::Value;

fn items<'a>(answer: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    answer[name].as_array().into_iter().flatten()
}

pub(super) fn new_room(language: Language, made: &Value) -> String {
    let guest = shown(&made["guestLink"]);
    format!(
        "{}\n\n  {}\n    {}\n\n  {}\n    {guest}\n\n{}",
        shown(&made["room"]["id"]),
        language.host_link(),
        shown(&made["hostLink"]),
        language.guest_link(),
        welcome::code(&guest),
    )
}

pub(super) fn rooms(language: Language, answer: &Value) -> String {
    let rows: Vec<[String; 4]> = items(answer, "rooms")
        .map(|room| {
            let (id, people) = (shown(&room["id"]), shown(&room["people"]));
            [id, people, minute(&room["createdAt"]), shown(&room["name"])]
        })
        .collect();
    if rows.is_empty() {
        format!("{}\n", language.no_rooms())
    } else {
        table(language.room_headings(), &rows)
    }
}

pub(super) fn people(language: Language, answer: &Value) -> String {
    let inside = items(answer, "participants").map(|person| {
        let connected = person["connected"].as_bool().unwrap_or_default();
        let media = person["media"].as_bool().unwrap_or_default();
        let state = language.presence(connected, media);
        [shown(&person["participant"]), shown(&person["role"]), state.to_owned(), shown(&person["name"])]
    });
    let waiting = items(answer, "waiting").map(|person| {
        let state = language.waits().to_owned();
        [shown(&person["participant"]), "-".to_owned(), state, shown(&person["name"])]
    });
    let rows: Vec<[String; 4]> = inside.chain(waiting).collect();
    if rows.is_empty() {
        format!("{}\n", language.nobody())
    } else {
        table(language.people_headings(), &rows)
    }
}

pub(super) fn bans(language: Language, answer: &Value) -> String {
    let rows: Vec<[String; 3]> = items(answer, "bans")
        .map(|ban| {
            let device = ban["device"].as_bool().unwrap_or_default();
            [shown(&ban["id"]), minute(&ban["createdAt"]), language.knows_browser(device).to_owned()]
        })
        .collect();
    if rows.is_empty() { format!("{}\n", language.no_bans()) } else { table(language.ban_headings(), &rows) }
}

pub(super) fn audit(language: Language, answer: &Value) -> String {
    let rows: Vec<[String; 4]> = items(answer, "audit")
        .map(|one| [minute(&one["hour"]), shown(&one["by"]), shown(&one["people"]), shown(&one["act"])])
        .collect();
    if rows.is_empty() { format!("{}\n", language.no_acts()) } else { table(language.act_headings(), &rows) }
}

/// One field a line, what is inside one indented below it.
pub(super) fn fields(answer: &Value, indent: &str) -> String {
    let lines = answer.as_object().into_iter().flatten().map(|(name, value)| match value {
        Value::Object(inner) if !inner.is_empty() => {
            format!("{indent}{name}:\n{}", fields(value, &format!("{indent}  ")))
        }
        value if name.ends_with("At") && value.is_number() => format!("{indent}{name}: {}\n", minute(value)),
        value => format!("{indent}{name}: {}\n", shown(value)),
    });
    lines.collect()
}
