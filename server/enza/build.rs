//! Builds the web client with npm and embeds it: writes `assets.rs` (a table of every file, compressed where that
//! makes it smaller) for `http/page.rs`. `ENZA_WEB=skip` leaves the web client out.
//!
//! The source tree stays clean but for `web-client/node_modules`, which git ignores.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::hash_map::DefaultHasher;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// What the web client's build needs (`engines` in its package.json).
const NODE: &str = "20.19 or newer (of the 20 series), or 22.12 or newer";

/// Everything the page is made of, inside `web-client`.
const SOURCES: [&str; 9] = [
    "src",
    "public",
    "static",
    "index.html",
    "package.json",
    "package-lock.json",
    "vite.config.ts",
    "svelte.config.js",
    "tsconfig.json",
];

fn main() {
    println!("cargo::rerun-if-env-changed=ENZA_WEB");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let mut files = Vec::new();
    match env::var("ENZA_WEB").as_deref() {
        Ok("skip") => {}
        Ok("" | "build") | Err(_) => {
            let built = build(&out);
            collect(&built, &built, &mut files);
        }
        Ok(other) => fail(&format!("ENZA_WEB is \"{other}\"; it may be \"skip\" or \"build\".")),
    }
    files.sort();
    let table = table(&out, &files);
    fs::write(out.join("assets.rs"), table).expect("OUT_DIR can be written");
}

/// Prints one sentence in place of a panic's back trace and stops the build.
fn fail(sentence: &str) -> ! {
    println!("cargo::error={sentence}");
    exit(1);
}

fn build(out: &Path) -> PathBuf {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let source = manifest.join("../../web-client");
    for name in SOURCES {
        let path = source.join(name);
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    check_node();
    let installed = source.join("node_modules/.package-lock.json");
    let lock = source.join("package-lock.json");
    if !is_newer(&installed, &lock) {
        npm(&source, &["ci", "--no-audit", "--no-fund"]);
    }
    let built = out.join("web");
    let target = built.to_str().unwrap_or_else(|| fail("The build folder's path is not UTF-8."));
    npm(&source, &["run", "build", "--", "--outDir", target, "--emptyOutDir"]);
    if !built.join("index.html").is_file() {
        fail("The web client's build made no index.html.");
    }
    built
}

/// npm is a script called `npm.cmd` on Windows.
const NPM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };

fn check_node() {
    let missing = |program: &str| -> ! {
        fail(&format!(
            "The web client needs {program}: install Node.js {NODE}, or set ENZA_WEB=skip to build the server \
             without its page."
        ))
    };
    let Ok(output) = Command::new("node").arg("--version").output() else { missing("Node.js") };
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let mut numbers = version.trim_start_matches('v').split('.').map_while(|part| part.parse::<u32>().ok());
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let enough = match major {
        20 => minor >= 19,
        22 => minor >= 12,
        other => other > 22,
    };
    if !enough {
        fail(&format!(
            "The web client needs Node.js {NODE}, but `node --version` says \"{version}\". Install a newer one, \
             or set ENZA_WEB=skip to build the server without its page."
        ));
    }
    if Command::new(NPM).arg("--version").output().is_err() {
        missing("npm, which comes with Node.js");
    }
}

fn is_newer(file: &Path, than: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified());
    matches!((changed(file), changed(than)), (Ok(file), Ok(than)) if file >= than)
}

fn npm(folder: &Path, arguments: &[&str]) {
    let output = Command::new(NPM).current_dir(folder).args(arguments).output();
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            for line in String::from_utf8_lossy(&said).lines() {
                println!("cargo::warning={line}");
            }
            fail(&format!("`npm {}` failed in web-client; its output is above.", arguments.join(" ")));
        }
        Err(error) => fail(&format!("`npm {}` cannot be run: {error}", arguments.join(" "))),
    }
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) {
    for entry in fs::read_dir(folder).expect("the built web client can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(root, &path, files);
        } else if path.extension().is_none_or(|extension| extension != "map") {
            let name = path.strip_prefix(root).expect("it is inside").to_string_lossy().replace('\\', "/");
            files.push((name, path));
        }
    }
}

fn table(out: &Path, files: &[(String, PathBuf)]) -> String {
    let compressed = out.join("gzip");
    let _ = fs::remove_dir_all(&compressed);
    fs::create_dir_all(&compressed).expect("OUT_DIR can be written");
    let mut table = String::from("static ASSETS: &[Asset] = &[\n");
    for (index, (name, path)) in files.iter().enumerate() {
        let content = fs::read(path).expect("the built web client can be read");
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&content).expect("memory takes everything");
        let small = encoder.finish().expect("memory takes everything");
        let stored = if small.len() * 10 < content.len() * 9 {
            let path = compressed.join(index.to_string());
            fs::write(&path, small).expect("OUT_DIR can be written");
            format!("bytes: include_bytes!({path:?}), unpacked: Some({})", content.len())
        } else {
            format!("bytes: include_bytes!({path:?}), unpacked: None")
        };
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        // Weak: it stands for the plain and for the compressed form.
        let etag = format!("W/\"{:016x}\"", hasher.finish());
        let immutable = name.starts_with("assets/");
        let media_type = media_type(name);
        writeln!(
            table,
            "    Asset {{ path: {name:?}, media_type: {media_type:?}, etag: {etag:?}, immutable: {immutable}, \
             {stored} }},"
        )
        .expect("memory takes everything");
    }
    table.push_str("];\n");
    table
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "wav" => "audio/wav",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
