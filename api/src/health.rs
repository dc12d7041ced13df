//! Health: how the node finds out whether a guest does its work, and what it has found.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A question to an instance that says whether it does its work.
///
/// Written as a text: `ping`; `tcp:PORT`; or `HANDLER OPERATOR VALUE`, such as `queue.length < 900`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Check {
    /// Its first device answers an echo request.
    Ping,
    /// Its first device accepts a TCP connection to this port.
    Tcp(u16),
    /// A handler's value compares with another as it shall.
    Handler(Comparison),
}

/// A handler's value, and what it shall be.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// `ELEMENT.HANDLER`.
    pub handler: String,
    /// How both are compared.
    pub operator: Operator,
    /// What the handler's value is compared with. If both are numbers, they are compared as numbers.
    pub value: String,
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// They are the same.
    Equal,
    /// They are not.
    NotEqual,
    /// The first is less; numbers only.
    Less,
    /// The first is not greater; numbers only.
    LessOrEqual,
    /// The first is greater; numbers only.
    Greater,
    /// The first is not less; numbers only.
    GreaterOrEqual,
}

/// Operators as they are written, longer ones first.
const OPERATORS: [(&str, Operator); 6] = [
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

impl Comparison {
    /// Whether a value of the handler is as it shall be.
    pub fn holds(&self, found: &str) -> bool {
        let found = found.trim();
        let order = match (found.parse::<f64>(), self.value.parse::<f64>()) {
            (Ok(found), Ok(wanted)) => found.partial_cmp(&wanted),
            _ if self.operator == Operator::Equal => return found == self.value,
            _ if self.operator == Operator::NotEqual => return found != self.value,
            _ => None,
        };
        order.is_some_and(|order| match self.operator {
            Operator::Equal => order.is_eq(),
            Operator::NotEqual => order.is_ne(),
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual => order.is_le(),
            Operator::Greater => order.is_gt(),
            Operator::GreaterOrEqual => order.is_ge(),
        })
    }
}

impl FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no check: ping, tcp:PORT, or HANDLER OPERATOR VALUE such as \"q.length < 900\""
            )
        };
        let text = text.trim();
        if text == "ping" {
            return Ok(Check::Ping);
        }
        if let Some(port) = text.strip_prefix("tcp:") {
            return port.parse().ok().filter(|&port| port != 0).map(Check::Tcp).ok_or_else(wrong);
        }
        let at = text.find(['=', '!', '<', '>']).ok_or_else(wrong)?;
        let (handler, rest) = text.split_at(at);
        let found = OPERATORS.iter().find_map(|(sign, operator)| Some((*operator, rest.strip_prefix(sign)?)));
        let (operator, value) = found.ok_or_else(wrong)?;
        let (handler, value) = (handler.trim(), value.trim());
        let equality = matches!(operator, Operator::Equal | Operator::NotEqual);
        let is_word = |word: &str| !word.is_empty() && word.len() <= 256 && !word.contains(char::is_control);
        if !is_word(handler) || handler.contains(char::is_whitespace) || !is_word(value) {
            return Err(wrong());
        }
        if !equality && value.parse::<f64>().is_err() {
            return Err(format!("{text:?}: only numbers are more or less than others"));
        }
        Ok(Check::Handler(Comparison { handler: handler.into(), operator, value: value.into() }))
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Check::Ping => f.write_str("ping"),
            Check::Tcp(port) => write!(f, "tcp:{port}"),
            Check::Handler(Comparison { handler, operator, value }) => {
                let sign = OPERATORS.iter().find(|(_, o)| o == operator).map_or("", |(sign, _)| sign);
                write!(f, "{handler} {sign} {value}")
            }
        }
    }
}

impl TryFrom<String> for Check {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Check> for String {
    fn from(check: Check) -> Self {
        check.to_string()
    }
}

/// How an instance is checked while its guest is ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// `ping`, `tcp:PORT`, or `HANDLER OPERATOR VALUE` with one of `==`, `!=`, `<`, `<=`, `>`, `>=`.
    #[cfg_attr(feature = "server", schema(value_type = String))]
    pub check: Check,
    /// Seconds from one check to the next, 1 to 3600.
    #[serde(default = "interval")]
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 3600))]
    pub interval_s: u32,
    /// Milliseconds that an answer may take, 1 to 60000.
    #[serde(default = "timeout")]
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 60000))]
    pub timeout_ms: u32,
    /// Checks in a row that fail before the instance is unhealthy, 1 to 100.
    #[serde(default = "failures")]
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 100))]
    pub failures: u32,
    /// Checks in a row that pass before it is healthy again, 1 to 100.
    #[serde(default = "successes")]
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 100))]
    pub successes: u32,
}

fn interval() -> u32 {
    10
}

fn timeout() -> u32 {
    1000
}

fn failures() -> u32 {
    3
}

fn successes() -> u32 {
    1
}

impl HealthCheck {
    /// A check with the usual times.
    pub fn new(check: Check) -> Self {
        let (interval_s, timeout_ms) = (interval(), timeout());
        Self { check, interval_s, timeout_ms, failures: failures(), successes: successes() }
    }

    /// What is out of range.
    pub fn check_ranges(&self) -> Result<(), String> {
        let within = [
            ("interval_s", self.interval_s, 3600),
            ("timeout_ms", self.timeout_ms, 60_000),
            ("failures", self.failures, 100),
            ("successes", self.successes, 100),
        ];
        match within.into_iter().find(|&(_, value, most)| !(1..=most).contains(&value)) {
            Some((name, _, most)) => Err(format!("health: {name} is 1 to {most}")),
            None => Ok(()),
        }
    }
}

/// What checks have found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum HealthState {
    /// Not enough checks were made yet.
    Unknown,
    /// It does its work.
    Healthy,
    /// It does not.
    Unhealthy,
}

/// The health of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Health {
    /// What checks have found.
    pub state: HealthState,
    /// Since when, nanoseconds since 1970.
    pub since_unix_ns: u64,
    /// What the last check that failed has found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_read_as_they_are_written() {
        for text in
            ["ping", "tcp:6379", "q.length < 900", "name == fire wall", "a/b.count >= 1.5", "x.y != 0"]
        {
            assert_eq!(text.parse::<Check>().unwrap().to_string(), text);
        }
        assert_eq!("q.length<9".parse::<Check>().unwrap().to_string(), "q.length < 9");
        for wrong in
            ["", "pong", "tcp:", "tcp:0", "tcp:65536", "< 1", "a.b <", "a b < 1", "a.b < x", "a.b = 1", "a.b"]
        {
            assert!(wrong.parse::<Check>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_are_compared_as_numbers_and_texts_as_texts() {
        let holds = |check: &str, found: &str| match check.parse::<Check>().unwrap() {
            Check::Handler(comparison) => comparison.holds(found),
            _ => unreachable!(),
        };
        assert!(holds("a.b < 10", "9\n") && !holds("a.b < 10", "10") && !holds("a.b < 10", "many"));
        assert!(holds("a.b == 1.0", "1") && holds("a.b != up", "down") && holds("a.b == up", "up\n"));
        assert!(!holds("a.b < 1", "NaN") && holds("a.b >= -1", "-1"));
    }
}
