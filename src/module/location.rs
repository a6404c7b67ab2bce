//! The settings of a location: how they are merged, and what they mean together: who may send what there, and what is
//! stored of it.

use std::ptr::NonNull;
use std::sync::Arc;

use ngx::ffi::{ngx_conf_t, ngx_http_complex_value_t, ngx_http_conf_ctx_t};
use sparkngin_core::event::{Addresses, EVERYTHING, Privacy};

use crate::args::{Place, constant};
use crate::bytes::kept;
use crate::conf::{Given, MainConf};
use crate::cors::Cors;
use crate::fields::{Variable, Variables};
use crate::level::{Ack, Level};
use crate::limits::Limits;
use crate::privacy::Policy;
use crate::topics::Topics;
use crate::traffic::Traffic;

const DEFAULT_EVENT: usize = 32 << 10;

/// What a location is chosen by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// The beginning of a path: its operator did not choose who may see which of the paths below.
    #[default]
    Prefix,
    /// One path.
    Exact,
    /// A regular expression, or its name.
    Other,
}

/// What the directives of a location say, with those around it; None is the default.
#[derive(Default)]
pub struct LocationConf {
    /// sparkngin_root_loc: what kind of location it stands in. nginx keeps it for the location alone, not for `if` and
    /// `limit_except` in it.
    pub root: Option<Kind>,
    /// Where that was said.
    pub root_place: Place,
    /// sparkngin_topic
    pub topic: Option<Given<NonNull<ngx_http_complex_value_t>>>,
    /// sparkngin_topics; Some(None) is `off`
    pub topics: Option<Option<Arc<Topics>>>,
    /// sparkngin_cors; Some(None) is `off`
    pub cors: Option<Option<Arc<Cors>>>,
    /// sparkngin_field
    pub variables: Option<Arc<Variables>>,
    /// Where the last of them stands.
    pub variables_place: Place,
    /// sparkngin_access
    pub traffic: Option<Given<Traffic>>,
    /// It stands in this very place: the way in of events does not take it from around.
    pub traffic_said: bool,
    /// sparkngin_privacy; Some(None) is `off`
    pub policy: Option<Option<Arc<Policy>>>,
    /// sparkngin_receipt
    pub receipt: Option<bool>,
    /// sparkngin_max_event
    pub max_event: Option<usize>,
    /// sparkngin_ack
    pub ack: Option<Given<Ack>>,
    /// sparkngin_limits
    pub limits: Option<Limits>,
}

impl LocationConf {
    /// Takes from the place around it what was not said here.
    pub fn merge(&mut self, outer: &LocationConf) {
        self.topic = self.topic.take().or_else(|| outer.topic.clone());
        self.topics = self.topics.take().or_else(|| outer.topics.clone());
        self.cors = self.cors.take().or_else(|| outer.cors.clone());
        if self.variables.is_none() {
            self.variables = outer.variables.clone();
            self.variables_place = outer.variables_place.clone();
        }
        self.traffic = self.traffic.take().or_else(|| outer.traffic.clone());
        self.policy = self.policy.take().or_else(|| outer.policy.clone());
        self.receipt = self.receipt.or(outer.receipt);
        self.max_event = self.max_event.or(outer.max_event);
        self.ack = self.ack.take().or_else(|| outer.ack.clone());
        self.limits = Some(self.limits().or(outer.limits()));
    }

    /// How much a request may say.
    pub fn limits(&self) -> Limits {
        self.limits.unwrap_or_default()
    }

    /// The most bytes that an event may have as it lies in the ring.
    pub fn max_event(&self) -> usize {
        self.max_event.unwrap_or(DEFAULT_EVENT)
    }

    /// What a success means, and what a client may ask for.
    pub fn ack(&self) -> Ack {
        self.ack.as_ref().map_or_else(Ack::default, |given| given.value)
    }

    /// The `sparkngin_ack` that asks for the level `disk`, or lets clients ask for it by name.
    pub fn disk(&self) -> Option<Given<()>> {
        let speaks = |ack: &Ack| ack.level == Level::Disk || ack.max == Level::Disk;
        let given = self.ack.as_ref().filter(|given| speaks(&given.value))?;
        Some(Given { value: (), text: given.text.clone(), place: given.place.clone() })
    }

    /// Checks that somebody can acknowledge what is to be acknowledged.
    ///
    /// # Errors
    /// As [`MainConf::complete`].
    pub fn fits(&self, main: &MainConf) -> Result<(), (String, Place)> {
        match &self.ack {
            Some(given) if given.value.level == Level::Kafka && main.guests.is_empty() => {
                let text = format!(
                    "\"{}\" needs a \"sparkngin_subscriber\": without one nobody ever acknowledges an event",
                    given.text
                );
                Err((text, given.place.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Whether a success carries the receipt.
    pub fn receipt(&self) -> bool {
        self.receipt.unwrap_or(false)
    }

    /// Who may read the answers in a browser.
    pub fn cors(&self) -> Option<&Cors> {
        self.cors.as_ref()?.as_deref()
    }

    /// Of whom nothing is stored, and what is of the others.
    pub fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref()?.as_deref()
    }

    /// What is stored of clients.
    pub fn privacy(&self) -> &Privacy {
        self.policy().map_or(&EVERYTHING, |policy| &policy.stored)
    }

    /// Whether an event may be for this topic.
    pub fn takes(&self, topic: &[u8]) -> bool {
        let topics = self.topics.as_ref().and_then(Option::as_deref);
        topics.is_none_or(|topics| topics.has(topic))
    }

    /// Whether what happens here is stored.
    pub fn has_traffic(&self) -> bool {
        let on = |given: &Given<Traffic>| matches!(given.value, Traffic::On { .. });
        self.traffic.as_ref().is_some_and(on) && (self.root.is_none() || self.traffic_said)
    }

    /// Checks that what the place itself says is taken there.
    ///
    /// # Errors
    /// As [`MainConf::complete`].
    pub fn agrees(&self) -> Result<(), (String, Place)> {
        let own = self.topic.as_ref().map(|given| (given.value, &given.text, &given.place));
        let traffic = self.traffic.as_ref().and_then(|given| match given.value {
            Traffic::On { topic, .. } if self.has_traffic() => {
                Some((topic, &given.text, &given.place))
            }
            _ => None,
        });
        for (topic, text, place) in own.filter(|_| self.root.is_some()).into_iter().chain(traffic) {
            if constant(topic).is_some_and(|topic| !self.takes(topic)) {
                let text = format!("the topic in \"{text}\" must be one of \"sparkngin_topics\"");
                return Err((text, place.clone()));
            }
        }
        let privacy = self.privacy();
        let (keeps, listed) = (|key: &[u8]| privacy.keeps_any_case(key), privacy.cookies.is_some());
        let variables = || self.variables.iter().flat_map(|variables| variables.iter());
        if let Some(name) = variables().find_map(Variable::hidden_address)
            && privacy.addresses != Addresses::Whole
        {
            let text = format!(
                "\"sparkngin_field\" with {name} would store an address that \"ip=\" in \"sparkngin_privacy\" cannot mask"
            );
            return Err((text, self.variables_place.clone()));
        }
        match variables().filter(|_| listed).find_map(|field| field.stray_cookie(keeps)) {
            None => Ok(()),
            Some(name) => Err((
                format!(
                    "\"sparkngin_field\" with {name} would store a cookie that \"cookies=\" in \"sparkngin_privacy\" \
                     does not list"
                ),
                self.variables_place.clone(),
            )),
        }
    }
}

/// The settings of a module for the location that nginx is reading or merging.
///
/// # Safety
///
/// `index` is that module's place among the http modules, and `T` what it keeps for a location; nobody else uses them
/// while the result lives.
pub unsafe fn location_of<'a, T>(cf: &ngx_conf_t, index: usize) -> Option<&'a mut T> {
    // SAFETY: inside http, nginx's context is of this type.
    let context = unsafe { cf.ctx.cast::<ngx_http_conf_ctx_t>().as_ref() }?;
    // SAFETY: there is a pointer for each http module; the rest is as the caller says.
    unsafe { kept(context.loc_conf, index) }
}
