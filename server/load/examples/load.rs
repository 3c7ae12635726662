//! The load generator by itself, for measuring a server without the rest of the command line.

use std::io::Write as _;

use clap::Parser;

#[derive(Parser)]
#[command(about = "Rooms of clients that measure what a server does to their packets")]
struct Command {
    #[command(flatten)]
    load: load::Arguments,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Command::parse().load;
    let json = arguments.json;
    let report = load::run(arguments.try_into()?).await?;
    std::io::stdout().write_all(report.render(json)?.as_bytes())?;
    Ok(())
}
