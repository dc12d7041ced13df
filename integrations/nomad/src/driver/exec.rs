//! `ExecTaskStreaming`: a command, its input as it comes, its output, its status.

use crate::proto::drivers::exec_task_streaming_request::Setup;
use crate::proto::drivers::{
    ExecTaskStreamingIoOperation as Piece, ExecTaskStreamingRequest, ExecTaskStreamingResponse, ExitResult,
};
use crate::task::Task;
use crate::task::exec::{Command, INPUT, Lines, Outcome, Typed, run};
use std::sync::Arc;
use tokio::sync::mpsc::Sender;
use tonic::{Status, Streaming};

/// Where answers go.
type Answers = Sender<Result<ExecTaskStreamingResponse, Status>>;

/// The client is gone.
struct Gone;

async fn answer(to: &Answers, response: ExecTaskStreamingResponse) -> Result<(), Gone> {
    to.send(Ok(response)).await.map_err(|_| Gone)
}

fn piece(data: Vec<u8>) -> Option<Piece> {
    Some(Piece { data, close: false })
}

async fn say(to: &Answers, outcome: &Outcome, tty: bool) -> Result<(), Gone> {
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

async fn exit(to: &Answers, status: i32) -> Result<(), Gone> {
    let closed = || Some(Piece { data: Vec::new(), close: true });
    answer(to, ExecTaskStreamingResponse { stdout: closed(), ..Default::default() }).await?;
    answer(to, ExecTaskStreamingResponse { stderr: closed(), ..Default::default() }).await?;
    let result = Some(ExitResult { exit_code: status, ..ExitResult::default() });
    answer(to, ExecTaskStreamingResponse { exited: true, result, ..Default::default() }).await
}

/// What comes next of the input; nothing at its end.
async fn next(input: &mut Streaming<ExecTaskStreamingRequest>) -> Option<Vec<u8>> {
    loop {
        // A change of the terminal's size concerns nobody.
        let Some(stdin) = input.message().await.ok()??.stdin else { continue };
        if !stdin.data.is_empty() {
            return Some(stdin.data);
        }
        if stdin.close {
            return None;
        }
    }
}

/// Runs what was set up, to its end or until the client goes.
pub async fn stream(
    task: Arc<Task>,
    setup: Setup,
    mut input: Streaming<ExecTaskStreamingRequest>,
    to: Answers,
) {
    // It is the client that is gone, who would have been told.
    let _ = converse(&task, &setup, &mut input, &to).await;
}

async fn converse(
    task: &Task,
    setup: &Setup,
    input: &mut Streaming<ExecTaskStreamingRequest>,
    to: &Answers,
) -> Result<(), Gone> {
    let outcome = match Command::of(&setup.command) {
        Ok(Command::Shell) => return shell(task, setup.tty, input, to).await,
        Ok(command) => {
            let mut all = Vec::new();
            if command.wants_input() {
                while let Some(data) = next(input).await {
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
    say(to, &outcome, setup.tty).await?;
    exit(to, outcome.status).await
}

const PROMPT: &[u8] = b"> ";

async fn shell(
    task: &Task,
    tty: bool,
    input: &mut Streaming<ExecTaskStreamingRequest>,
    to: &Answers,
) -> Result<(), Gone> {
    let mut lines = Lines::new(tty);
    let mut status = 0;
    let prompt = async || match tty {
        true => {
            answer(to, ExecTaskStreamingResponse { stdout: piece(PROMPT.into()), ..Default::default() }).await
        }
        false => Ok(()),
    };
    prompt().await?;
    while let Some(data) = next(input).await {
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
                            say(to, &outcome, tty).await?;
                        }
                    }
                    prompt().await?;
                }
            }
        }
    }
    exit(to, status).await
}
