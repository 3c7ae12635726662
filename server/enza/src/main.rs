//! `enza`: reads the command line, serves until it is asked to stop, and says in one sentence why it could not.

use enza::catalogue::Language;
use enza::cli::{Cli, Command};
use enza::config::{Config, LogFormat};
use enza::notice::Notice;
use enza::notify::Notify;
use enza::server::Server;
use enza::start_error::StartError;
use enza::{health, logs, welcome};
use std::convert::Infallible;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::mpsc;

/// Threads for HTTP and rooms; media has its own. Higher: more memory; lower than 2: one slow write to disk
/// delays signalling.
const WORKERS: usize = 2;

/// What still runs when everything was closed has nothing to finish.
const RUNTIME_PATIENCE: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let variable = |name: &str| std::env::var(name).ok();
    let language = Language::from_environment(variable);
    let cli = Cli::read();
    let wanted = variable("RUST_LOG");
    if !cli.serves() {
        logs::start(wanted.as_deref(), LogFormat::Text);
    }
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return complain(&error.to_string(), 1),
        };
    let ended = runtime.block_on(async {
        match cli.decide(language, variable).await? {
            Command::Print(text) => {
                print(&text);
                Ok(ExitCode::SUCCESS)
            }
            Command::Tell(text, code) => {
                print(&text);
                Ok(ExitCode::from(code))
            }
            Command::Complain(sentences, code) => {
                Ok(sentences.iter().fold(ExitCode::SUCCESS, |_, sentence| complain(sentence, code)))
            }
            Command::Serve(config) => {
                logs::start(wanted.as_deref(), config.log_format);
                serve(&config, language, &Notify::from_environment(variable)).await
            }
            Command::Health(config) => Ok(match health::check(&config).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => complain(&error.to_string(), 1),
            }),
            #[cfg(target_os = "linux")]
            Command::Load(arguments) => Ok(measure(*arguments).await),
        }
    });
    runtime.shutdown_timeout(RUNTIME_PATIENCE);
    ended.unwrap_or_else(|error: StartError| complain(&language.start_error(&error), error.exit_code()))
}

#[cfg(target_os = "linux")]
async fn measure(arguments: load::Arguments) -> ExitCode {
    let json = arguments.json;
    let options: load::Options = match arguments.try_into() {
        Ok(options) => options,
        Err(error) => return complain(&format!("{error:#}"), 2),
    };
    let text = match options.most_rooms {
        Some(most) => load::find_capacity(options, most).await.and_then(|found| found.render(json)),
        None => load::run(options).await.and_then(|report| report.render(json)),
    };
    match text {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => complain(&format!("{error:#}"), 1),
    }
}

async fn serve(config: &Config, language: Language, notify: &Notify) -> Result<ExitCode, StartError> {
    let mut server = Server::start(config).await?;
    let links = welcome::text(server.store(), config, server.port(), language).await?;
    // What a service prints is in the machine's log, and no log holds a link.
    if !notify.is_service() {
        print(&links);
    }
    notify.ready();
    let asked = asked_to_stop();
    let telling = tell(server.notices(), language);
    tokio::pin!(asked, telling);
    let mut beat = notify.every().map(tokio::time::interval);
    let code = loop {
        tokio::select! {
            () = &mut asked => break ExitCode::SUCCESS,
            () = tick(&mut beat) => if server.is_alive() { notify.alive() },
            fatal = server.failure() => break complain(&fatal.to_string(), 1),
            never = &mut telling => match never {},
        }
    };
    notify.stopping();
    server.stop().await;
    Ok(code)
}

/// Until systemd wants to hear again that the program works.
async fn tick(beat: &mut Option<tokio::time::Interval>) {
    match beat {
        Some(beat) => {
            beat.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// Prints what happens meanwhile.
async fn tell(notices: Option<mpsc::Receiver<Notice>>, language: Language) -> Infallible {
    if let Some(mut notices) = notices {
        while let Some(notice) = notices.recv().await {
            print(&format!("\n{}\n", language.notice(&notice)));
        }
    }
    std::future::pending().await
}

/// Ctrl-C or, where there is one, SIGTERM.
async fn asked_to_stop() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending::<()>().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}

/// A closed pipe is no reason to stop serving.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn complain(sentence: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "enza: {sentence}");
    ExitCode::from(code)
}
