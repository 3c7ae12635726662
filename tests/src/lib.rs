//! Reads the repository as data, so that the architecture can be tested: which crate depends on which, and what
//! the sources say. Knows no crate of the workspace by code, only by name.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder that holds the workspace's `Cargo.toml`.
pub fn root() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .context("tests/ lies in the workspace")
}

/// One crate of the workspace: its folder and the names of what it depends on, test-only ones apart.
#[derive(Debug)]
pub struct Member {
    pub folder: PathBuf,
    pub dependencies: Vec<String>,
    pub dev_dependencies: Vec<String>,
}

/// Every crate of the workspace by name, as cargo sees it.
///
/// Errors when cargo cannot be run or does not answer as documented (`cargo metadata`, format version 1).
pub fn members() -> Result<BTreeMap<String, Member>> {
    let metadata = metadata(&["--no-deps"])?;
    let packages = metadata["packages"].as_array().context("packages")?;
    packages.iter().map(member).collect()
}

/// Every package that the workspace links on this platform, with the licence its manifest gives (empty: none).
///
/// Errors as [`members`].
pub fn licences() -> Result<BTreeMap<String, String>> {
    let version = Command::new("rustc").arg("-vV").output().context("rustc")?;
    let version = String::from_utf8(version.stdout)?;
    let host =
        version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names its host")?;
    let metadata = metadata(&["--filter-platform", host])?;
    let used = metadata["resolve"]["nodes"].as_array().context("nodes")?;
    let used: Vec<&Value> = used.iter().map(|node| &node["id"]).collect();
    let packages = metadata["packages"].as_array().context("packages")?;
    packages
        .iter()
        .filter(|package| used.contains(&&package["id"]))
        .map(|package| {
            let name = package["name"].as_str().context("name")?.to_owned();
            // Older manifests write a slash for "or".
            Ok((
                name,
                package["license"].as_str().unwrap_or_default().replace('/', " OR ").replace("  ", " "),
            ))
        })
        .collect()
}

fn metadata(arguments: &[&str]) -> Result<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--offline", "--locked"])
        .args(arguments)
        .current_dir(root()?)
        .output()
        .context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn member(package: &Value) -> Result<(String, Member)> {
    let name = package["name"].as_str().context("name")?.to_owned();
    let manifest = Path::new(package["manifest_path"].as_str().context("manifest_path")?);
    let folder = manifest.parent().context("a manifest lies in a folder")?.to_path_buf();
    let (mut dependencies, mut dev_dependencies) = (Vec::new(), Vec::new());
    for dependency in package["dependencies"].as_array().context("dependencies")? {
        let used = dependency["name"].as_str().context("dependency name")?.to_owned();
        match dependency["kind"].as_str() {
            Some("dev") => dev_dependencies.push(used),
            _ => dependencies.push(used),
        }
    }
    Ok((name, Member { folder, dependencies, dev_dependencies }))
}

/// Every file below `folder` whose name ends with `.ending`, without build output and npm packages.
///
/// Errors name the folder that could not be read.
pub fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    const LEFT_OUT: [&str; 5] = ["target", "node_modules", "dist", "artifacts", "corpus"];
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !LEFT_OUT.contains(&name.as_str()) && !name.starts_with('.') {
                found.extend(files(&path, ending)?);
            }
        } else if name.ends_with(&format!(".{ending}")) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
