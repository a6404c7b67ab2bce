//! What the directives of a location mean together: who may send what there, and what is stored of it.

use sparkngin_core::event::{Addresses, EVERYTHING, Privacy};

use crate::args::{Place, constant};
use crate::conf::{Given, LocationConf};
use crate::cors::Cors;
use crate::fields::Variable;
use crate::privacy::Policy;
use crate::traffic::Traffic;

impl LocationConf {
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
        self.topics.as_ref().is_none_or(|topics| topics.has(topic))
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
