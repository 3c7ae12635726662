//! The invariants of `server/ARCHITECTURE.md` that a compiler does not see, each with a test that fails.

use anyhow::Context as _;
use std::collections::BTreeSet;
use std::path::Path;
use tests::{files, licences, members, root};

/// Crates without sockets, threads, clocks or randomness.
const SANS_IO: [&str; 4] = ["circle", "sfu", "signal", "turn"];

/// What would bring I/O, time or chance into a crate.
const IO: [&str; 15] = [
    "tokio",
    "async-std",
    "smol",
    "mio",
    "socket2",
    "axum",
    "hyper",
    "reqwest",
    "tokio-tungstenite",
    "tungstenite",
    "rustls",
    "tokio-rustls",
    "sqlx",
    "rusqlite",
    "webrtc",
];

/// Longest source file; one that outgrows it holds two ideas. Tests may tell longer stories.
const LONGEST: usize = 600;
const LONGEST_TEST: usize = 800;

/// Licences that let Enza be given away under its own two, in the words of Cargo manifests.
const LICENCES: [&str; 13] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unlicense",
    "Unicode-3.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
];

#[test]
fn sans_io_crates_depend_on_no_runtime_socket_or_database() -> anyhow::Result<()> {
    let members = members()?;
    for name in SANS_IO {
        let member = &members[name];
        for used in &member.dependencies {
            assert!(!IO.contains(&used.as_str()), "{name} depends on {used}");
            assert!(!["rand", "getrandom", "rand_core"].contains(&used.as_str()), "{name} depends on {used}");
        }
    }
    Ok(())
}

#[test]
fn sans_io_crates_forbid_clocks_threads_and_sockets_by_lint() -> anyhow::Result<()> {
    for name in SANS_IO {
        let lints = std::fs::read_to_string(root()?.join("server").join(name).join("clippy.toml"))?;
        for forbidden in [
            "std::time::Instant::now",
            "std::time::SystemTime::now",
            "std::thread::spawn",
            "std::net::UdpSocket",
        ] {
            assert!(lints.contains(forbidden), "server/{name}/clippy.toml does not forbid {forbidden}");
        }
    }
    Ok(())
}

#[test]
fn network_input_cannot_panic_by_lint() -> anyhow::Result<()> {
    for name in SANS_IO {
        let source = std::fs::read_to_string(root()?.join("server").join(name).join("src/lib.rs"))?;
        for lint in ["unwrap_used", "expect_used", "indexing_slicing", "arithmetic_side_effects"] {
            assert!(source.contains(&format!("clippy::{lint}")), "{name} does not deny clippy::{lint}");
        }
        assert!(source.contains("deny("), "{name} denies nothing");
    }
    Ok(())
}

#[test]
fn the_media_plane_knows_no_livekit_and_no_other_crate_of_ours() -> anyhow::Result<()> {
    let members = members()?;
    let ours: BTreeSet<&str> = members.keys().map(String::as_str).collect();
    for used in &members["sfu"].dependencies {
        assert!(!ours.contains(used.as_str()), "sfu depends on {used}");
        assert_ne!(used, "livekit-protocol", "sfu speaks to no client");
    }
    Ok(())
}

#[test]
fn the_circle_knows_no_livekit_no_media_and_no_other_crate_of_ours() -> anyhow::Result<()> {
    let members = members()?;
    for used in &members["circle"].dependencies {
        assert!(!members.contains_key(used), "circle depends on {used}");
        assert!(!used.starts_with("livekit") && used != "prost", "circle depends on {used}");
    }
    assert!(!members["sfu"].dependencies.contains(&"circle".to_owned()));
    Ok(())
}

#[test]
fn the_relay_knows_no_other_crate_of_ours() -> anyhow::Result<()> {
    let members = members()?;
    for used in &members["turn"].dependencies {
        assert!(!members.contains_key(used), "turn depends on {used}");
    }
    Ok(())
}

#[test]
fn only_the_media_plane_names_webrtc_parts() -> anyhow::Result<()> {
    for (name, member) in members()? {
        // `inputs` feeds them what a stranger could send.
        if ["sfu", "load", "inputs"].contains(&name.as_str()) {
            continue;
        }
        for used in member.dependencies {
            assert!(!used.starts_with("rtc-") && used != "webrtc", "{name} depends on {used}");
        }
    }
    Ok(())
}

#[test]
fn only_the_store_names_the_database_and_only_enza_names_the_web_server() -> anyhow::Result<()> {
    for (name, member) in members()? {
        for used in member.dependencies {
            assert!(
                name == "store" || !["sqlx", "rusqlite"].contains(&used.as_str()),
                "{name} depends on {used}"
            );
            assert!(
                name == "enza" || !["axum", "hyper"].contains(&used.as_str()),
                "{name} depends on {used}"
            );
        }
    }
    Ok(())
}

#[test]
fn no_state_is_shared_behind_a_lock() -> anyhow::Result<()> {
    for path in files(&root()?.join("server"), "rs")? {
        if path.ends_with("metrics.rs") {
            continue;
        }
        let source = std::fs::read_to_string(&path)?;
        for shared in ["Arc<Mutex<", "Arc<RwLock<", "Rc<RefCell<"] {
            assert!(!source.contains(shared), "{} shares state with {shared}…>", shown(&path)?);
        }
    }
    Ok(())
}

#[test]
fn no_file_holds_two_ideas() -> anyhow::Result<()> {
    for path in files(&root()?.join("server"), "rs")? {
        let lines = std::fs::read_to_string(&path)?.lines().count();
        let longest =
            if path.components().any(|part| part.as_os_str() == "src") { LONGEST } else { LONGEST_TEST };
        assert!(lines <= longest, "{} has {lines} lines; name its second idea", shown(&path)?);
    }
    Ok(())
}

#[test]
fn everything_we_link_is_free_to_give_away() -> anyhow::Result<()> {
    for (name, licence) in licences()? {
        // "A OR B" lets us choose; "A AND B" binds us to both.
        let free = licence.split(" OR ").any(|choice| {
            choice
                .trim_matches(['(', ')'])
                .split(" AND ")
                .all(|part| LICENCES.contains(&part.trim_matches(['(', ')', ' '])))
        });
        assert!(free, "{name} is under {licence:?}");
    }
    Ok(())
}

#[test]
fn every_link_in_the_documents_leads_somewhere() -> anyhow::Result<()> {
    let mut followed = 0;
    for page in [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "server/ARCHITECTURE.md",
        "server/LIMITS.md",
        "server/circle/PROTOCOL.md",
        "certs/README.md",
    ] {
        let page = root()?.join(page);
        let text = std::fs::read_to_string(&page).with_context(|| page.display().to_string())?;
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.starts_with('#') {
                continue;
            }
            let target = page.parent().unwrap_or(&page).join(link.split('#').next().unwrap_or(link));
            assert!(target.exists(), "{} links to {link}", shown(&page)?);
            followed += 1;
        }
    }
    assert!(followed > 0, "no document links to another");
    Ok(())
}

#[test]
fn every_file_says_what_it_is_by_its_name() -> anyhow::Result<()> {
    const EMPTY_NAMES: [&str; 7] = ["utils", "util", "common", "manager", "handler", "helpers", "helper"];
    for folder in ["server", "web-client/src", "tests"] {
        for ending in ["rs", "ts", "svelte", "mjs"] {
            for path in files(&root()?.join(folder), ending)? {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
                assert!(!EMPTY_NAMES.contains(&name.as_str()), "{}", shown(&path)?);
            }
        }
    }
    Ok(())
}

#[test]
fn unsafe_code_is_explained_and_only_in_the_socket_layer() -> anyhow::Result<()> {
    for path in files(&root()?.join("server"), "rs")? {
        let source = std::fs::read_to_string(&path)?;
        for (number, line) in source.lines().enumerate() {
            if !line.contains("unsafe {") && !line.contains("unsafe fn") {
                continue;
            }
            let place = format!("{}:{}", shown(&path)?, number + 1);
            let inside = path.starts_with(root()?.join("server/enza/src/media/socket"))
                || path.starts_with(root()?.join("server/sfu/tests"));
            assert!(inside, "{place}: unsafe outside the socket layer");
            let before: Vec<&str> = source.lines().take(number + 1).collect();
            let near = before.iter().rev().take(6);
            assert!(near.into_iter().any(|l| l.contains("SAFETY")), "{place}: no SAFETY line");
        }
    }
    Ok(())
}

fn shown(path: &Path) -> anyhow::Result<String> {
    Ok(path.strip_prefix(root()?)?.display().to_string())
}
