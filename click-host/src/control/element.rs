use super::protocol::Rules;
use super::server::Server;
use click::args::{Args, Ipv4};
use click::element::{Context, Element, Nanos, read};
use std::any::Any;
use std::net::{Ipv4Addr, SocketAddr};

/// Time between two attempts to listen.
const RETRY: Nanos = 1_000_000_000;

click::element! {
    /// Lets other programs read and write handlers over a socket.
    ///
    /// It speaks Click's control protocol 1.3: lines such as `READ counter.count`, answered by a line with a code and,
    /// for reads, the data.
    ///
    /// # Arguments
    /// `TYPE` (`TCP` or `UNIX`), then `PORT` (a TCP port, also `ADDRESS:PORT`; with a `+`
    /// behind it, that or the next that is free) or `FILENAME`. `READONLY` (false):
    /// handlers cannot be written. `PROXY`: all handlers are reached through this element. `VERBOSE` (false):
    /// connections are announced. `LOCALHOST` (false): clients of other hosts are turned away. `RETRIES` (0): attempts
    /// to listen, a second apart, before the router stops; `RETRY_WARNINGS` (true): each that fails is announced.
    /// `MAX_CONNECTIONS` (-1): connections at the same time.
    ///
    /// # Handlers
    /// `port`: the TCP port. `filename`: the socket's file.
    ControlSocket "0/0" "a/a"
    keywords [
        "TYPE", "PORT", "FILENAME", "READONLY", "PROXY", "VERBOSE", "LOCALHOST", "RETRIES", "RETRY_WARNINGS",
        "MAX_CONNECTIONS",
    ]
    handlers [read("port"), read("filename")]
    { address: Address, or_next: bool, rules: Rules, server: Option<Server>, retries: u32, warnings: bool }
}

enum Address {
    Tcp(SocketAddr),
    Unix(String),
}

fn address(text: &str, args: &Args<'_>, localhost: bool) -> Option<SocketAddr> {
    let any = if localhost { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
    if let Ok(port) = text.parse::<u16>() {
        return Some((any, port).into());
    }
    let (host, port) = text.rsplit_once(':')?;
    let host = <Ipv4 as click::args::Argument>::parse(host, args.names)?;
    Some((host.0, port.parse().ok()?).into())
}

impl ControlSocket {
    fn new(args: &mut Args<'_>) -> Self {
        let kind = args.required::<String>("TYPE");
        let localhost = args.key("LOCALHOST").unwrap_or(false);
        let mut next = false;
        let address = match kind.to_ascii_uppercase().as_str() {
            "TCP" => {
                let mut text = args.required::<String>("PORT");
                // With a plus behind it: or the next port that is free.
                let plain = text.strip_suffix('+');
                (next, text) = (plain.is_some(), plain.map_or_else(|| text.clone(), String::from));
                let parsed = address(&text, args, localhost);
                if parsed.is_none() {
                    args.error(format!("PORT: expected a TCP port, not '{text}'"));
                }
                Address::Tcp(parsed.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into()))
            }
            "UNIX" => Address::Unix(args.required("FILENAME")),
            other => {
                args.error(format!("unknown socket type '{other}'"));
                args.rest();
                Address::Unix(String::new())
            }
        };
        let most = args.key::<i64>("MAX_CONNECTIONS").and_then(|n| usize::try_from(n).ok());
        let rules = Rules {
            read_only: args.key("READONLY").unwrap_or(false),
            proxy: args.key("PROXY"),
            most,
            verbose: args.key("VERBOSE").unwrap_or(false),
            localhost,
        };
        let retries = args.key::<i64>("RETRIES").and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        let warnings = args.key("RETRY_WARNINGS").unwrap_or(true);
        Self { address, or_next: next, rules, server: None, retries, warnings }
    }

    fn listen(&mut self) -> Result<(), String> {
        let mut server = match &self.address {
            Address::Tcp(address) if self.or_next => Server::tcp_or_next(*address)?,
            Address::Tcp(address) => Server::tcp(*address)?,
            Address::Unix(path) => Server::unix(path)?,
        };
        server.rules = self.rules.clone();
        self.server = Some(server);
        Ok(())
    }
}

impl Element for ControlSocket {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        if let Some(proxy) = &self.rules.proxy
            && !cx.has_element(proxy)
        {
            return Err(format!("PROXY: no element named '{proxy}'"));
        }
        match self.listen() {
            Err(message) if self.retries == 0 => Err(message),
            Err(message) => {
                if self.warnings {
                    cx.print(&format!("{}: {message}, trying again", cx.name()));
                }
                cx.wake_at(cx.now() + RETRY);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    // It may replace the configuration.
    fn needs_first_thread(&self) -> bool {
        true
    }

    fn is_poller(&self) -> bool {
        true
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(server) = &mut self.server {
            server.serve(cx);
        }
        false
    }

    fn timer(&mut self, cx: &mut Context<'_>) {
        let Err(message) = self.listen() else { return };
        self.retries -= 1;
        if self.retries == 0 {
            cx.print(&format!("{}: {message}, giving up", cx.name()));
            return cx.stop();
        }
        if self.warnings {
            cx.print(&format!("{}: {message}, trying again", cx.name()));
        }
        cx.wake_at(cx.now() + RETRY);
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<ControlSocket>()
            && let (Some(new), Some(old)) = (&mut self.server, &mut old.server)
        {
            new.take_over(old);
        }
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        if handler == "filename" {
            return Ok(if let Address::Unix(path) = &self.address { path.clone() } else { String::new() });
        }
        Ok(self.server.as_ref().and_then(Server::port).map(|p| p.to_string()).unwrap_or_default())
    }
}
