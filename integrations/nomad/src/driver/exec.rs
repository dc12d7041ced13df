//! `ExecTaskStreaming`: a command, its input as it comes, its output, its status.

use crate::proto::drivers::exec_task_streaming_request::Setup;
use crate::proto::drivers::{
    ExecTaskStreamingIoOperation as Piece, ExecTaskStreamingRequest, ExecTaskStreamingResponse, ExitResult,
};
use crate::task::Task;
use crate::task::exec::{Command, INPUT, Lines, Outcome, Typed, run};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tonic::{Status, Streaming};

/// Where answers go.
type Answers = Sender<Result<ExecTaskStreamingResponse, Status>>;

/// The client is gone.
struct Disconnected;

async fn answer(to: &Answers, response: ExecTaskStreamingResponse) -> Result<(), Disconnected> {
    to.send(Ok(response)).await.map_err(|_| Disconnected)
}

fn piece(data: Vec<u8>) -> Option<Piece> {
    Some(Piece { data, close: false })
}

async fn send_outcome(to: &Answers, outcome: &Outcome, tty: bool) -> Result<(), Disconnected> {
    // A raw terminal does not go to the first column by itself.
    let shaped = |bytes: &[u8]| match tty {
        true => String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\n', "\r\n").into_bytes(),
        false => bytes.to_vec(),
    };
    if !outcome.output.is_empty() {
        let stdout = piece(shaped(&outcome.output));
        answer(to, ExecTaskStreamingResponse { stdout, ..Default::default() }).await?;
    }
    if !outcome.errors.is_empty() {
        let stderr = piece(shaped(outcome.errors.as_bytes()));
        answer(to, ExecTaskStreamingResponse { stderr, ..Default::default() }).await?;
    }
    Ok(())
}

async fn exit(to: &Answers, status: i32) -> Result<(), Disconnected> {
    let closed = || Some(Piece { data: Vec::new(), close: true });
    answer(to, ExecTaskStreamingResponse { stdout: closed(), ..Default::default() }).await?;
    answer(to, ExecTaskStreamingResponse { stderr: closed(), ..Default::default() }).await?;
    let result = Some(ExitResult { exit_code: status, ..ExitResult::default() });
    answer(to, ExecTaskStreamingResponse { exited: true, result, ..Default::default() }).await
}

/// How long a stream stays open when all was said, for input that nobody wants. Nomad's client takes a stream that ended
/// while it sends for an error, and forgets the exit status that it has not read yet.
const LINGER: Duration = Duration::from_millis(250);

/// A command's standard input.
struct Input {
    messages: Streaming<ExecTaskStreamingRequest>,
    /// Whether no more comes.
    ended: bool,
}

impl Input {
    /// What comes next; nothing at the end.
    async fn next(&mut self) -> Option<Vec<u8>> {
        while !self.ended {
            let message = self.messages.message().await.ok().flatten();
            // A change of the terminal's size concerns nobody.
            let stdin = message.as_ref().and_then(|m| m.stdin.as_ref());
            self.ended = message.is_none() || stdin.is_some_and(|stdin| stdin.close);
            if let Some(stdin) = stdin.filter(|stdin| !stdin.data.is_empty()) {
                return Some(stdin.data.clone());
            }
        }
        None
    }

    /// Takes the rest, for a while.
    async fn linger(&mut self) {
        let rest = async { while self.next().await.is_some() {} };
        // An input that does not end has a client that has read all by now.
        let _ = tokio::time::timeout(LINGER, rest).await;
    }
}

/// Runs what was set up, to its end or until the client goes.
pub async fn stream(
    task: Arc<Task>,
    setup: Setup,
    messages: Streaming<ExecTaskStreamingRequest>,
    to: Answers,
) {
    let mut input = Input { messages, ended: false };
    // Otherwise it is the client that is gone, who would have been told.
    if serve_command(&task, &setup, &mut input, &to).await.is_ok() {
        input.linger().await;
    }
}

async fn serve_command(
    task: &Task,
    setup: &Setup,
    input: &mut Input,
    to: &Answers,
) -> Result<(), Disconnected> {
    let outcome = match Command::of(&setup.command) {
        Ok(Command::Shell) => return shell(task, setup.tty, input, to).await,
        Ok(command) => {
            let mut all = Vec::new();
            if command.wants_input() {
                while let Some(data) = input.next().await {
                    all.extend(data);
                    if all.len() > INPUT {
                        break;
                    }
                }
            }
            match all.len() > INPUT {
                true => Outcome {
                    errors: format!("more than {INPUT} bytes of input\n"),
                    status: 1,
                    ..Outcome::default()
                },
                false => run(task, command, &all).await,
            }
        }
        Err(outcome) => outcome,
    };
    send_outcome(to, &outcome, setup.tty).await?;
    exit(to, outcome.status).await
}

const PROMPT: &[u8] = b"> ";

async fn shell(task: &Task, tty: bool, input: &mut Input, to: &Answers) -> Result<(), Disconnected> {
    let mut lines = Lines::new(tty);
    let mut status = 0;
    let prompt = async || match tty {
        true => {
            answer(to, ExecTaskStreamingResponse { stdout: piece(PROMPT.into()), ..Default::default() }).await
        }
        false => Ok(()),
    };
    prompt().await?;
    while let Some(data) = input.next().await {
        for typed in lines.take(&data) {
            match typed {
                Typed::Echo(seen) => {
                    answer(to, ExecTaskStreamingResponse { stdout: piece(seen), ..Default::default() })
                        .await?;
                }
                Typed::End => return exit(to, status).await,
                Typed::Line(line) => {
                    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
                    match words.first().map(String::as_str) {
                        None => {}
                        Some("exit" | "quit") => return exit(to, status).await,
                        Some(_) => {
                            let outcome = match Command::of(&words) {
                                Ok(command) => run(task, command, b"").await,
                                Err(outcome) => outcome,
                            };
                            status = outcome.status;
                            send_outcome(to, &outcome, tty).await?;
                        }
                    }
                    prompt().await?;
                }
            }
        }
    }
    exit(to, status).await
}
