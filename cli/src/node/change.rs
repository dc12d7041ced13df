//! `microvisor set`: labels and restart policy of instances, which may run.

use super::{context, instances};
use crate::options::network::RestartOption;
use crate::options::values;
use crate::output::{self, Failure};
use api::instance::{Instance, InstanceChange};
use clap::Args;

/// What changes.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = true)]
pub struct ChangeOptions {
    /// Label that they get
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = values::assignment)]
    label: Vec<(String, String)>,
    /// Label that they lose
    #[arg(long, value_name = "NAME")]
    unlabel: Vec<String>,
    /// When they are started again from now on
    #[arg(long, value_name = "never|on-failure|always")]
    restart: Option<RestartOption>,
}

impl ChangeOptions {
    fn change(&self) -> InstanceChange {
        let lost = self.unlabel.iter().map(|name| (name.clone(), None));
        let given = self.label.iter().map(|(name, value)| (name.clone(), Some(value.clone())));
        InstanceChange { labels: lost.chain(given).collect(), restart: self.restart.as_ref().map(|r| r.0) }
    }
}

/// `microvisor set`
pub fn set(names: &[String], options: &ChangeOptions) -> Result<(), Failure> {
    let (client, change) = (context::required()?, options.change());
    output::each(names, |name| Ok(client.patch::<Instance>(&instances::path(name, ""), &change).map(drop)?))
}
