//! The ports to one actor, as one value.

use crate::port::{Port, PortMessage};

/// A client that can send `M`.
pub trait PortTo<M: PortMessage> {
    /// The port for it.
    fn port(&self) -> &Port<M>;

    /// Replaces the port for it.
    fn set_port(&mut self, port: Port<M>);
}

/// Declares the client of an actor: the messages that it may be sent, each on a port of its own. `patient` marks what
/// takes as long as the database is large, `bulky` what holds a lot.
///
/// A client is made by `connect` to an actor that handles all of them. A test that needs a few of them begins with
/// `unconnected` and adds ports by `with`; calls of the others fail.
#[macro_export]
macro_rules! clients {
    ($($(#[$doc:meta])* $vis:vis struct $client:ident {
        $($port:ident: $message:ty $(| $limits:ident)?),+ $(,)?
    })+) => {
        $($crate::clients!(@client [$(#[$doc])*] $vis $client { $($port: $message $(| $limits)?),+ });)+
    };
    (@client [$(#[$doc:meta])*] $vis:vis $client:ident {
        $($port:ident: $message:ty $(| $limits:ident)?),+
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        $vis struct $client { $($port: $crate::Port<$message>),+ }

        impl $client {
            /// The client of the actor at `address`, which is called `name` in errors and metrics.
            #[must_use]
            $vis fn connect<A>(
                name: &'static str,
                address: &$crate::macros::actix::Addr<A>,
                environment: &$crate::ActorEnvironment,
            ) -> Self
            where
                A: $crate::macros::actix::Actor $(+ $crate::macros::actix::Handler<$message>)+,
                $(A::Context: $crate::macros::actix::dev::ToEnvelope<A, $message>,)+
            {
                // A port for each message, so that a flood of one kind keeps no other out.
                Self {
                    $($port: $crate::Port::new(
                        name,
                        address.clone().recipient(),
                        $crate::clients!(@limits $($limits)?),
                        &environment.activity,
                    )),+
                }
            }

            /// A client whose every call fails, until ports are added.
            #[must_use]
            $vis fn unconnected() -> Self {
                Self { $($port: $crate::Port::unconnected(stringify!($port))),+ }
            }

            /// Adds the port of one message.
            #[must_use]
            $vis fn with<M>(mut self, port: $crate::Port<M>) -> Self
            where
                Self: $crate::PortTo<M>,
                M: $crate::PortMessage,
            {
                $crate::PortTo::<M>::set_port(&mut self, port);
                self
            }

            /// Sends a message and waits for its answer; see [`Port::call`]($crate::Port::call).
            ///
            /// # Errors
            /// `busy` when too many are under way, `timeout` when no answer came, `stopping` when the actor is gone, and
            /// whatever the actor answers.
            $vis fn call<M, T>(
                &self,
                message: M,
            ) -> impl Future<Output = $crate::Result<T>> + use<M, T>
            where
                Self: $crate::PortTo<M>,
                M: $crate::macros::actix::Message<Result = $crate::Result<T>> + Send + 'static,
                T: Send + 'static,
            {
                $crate::PortTo::<M>::port(self).call(message)
            }

            /// Sends a hint, which is dropped where the actor has too much to do; see
            /// [`Port::hint`]($crate::Port::hint).
            $vis fn hint<M>(&self, message: M) -> bool
            where
                Self: $crate::PortTo<M>,
                M: $crate::PortMessage<Result: 'static>,
            {
                $crate::PortTo::<M>::port(self).hint(message)
            }
        }

        $(impl $crate::PortTo<$message> for $client {
            fn port(&self) -> &$crate::Port<$message> {
                &self.$port
            }

            fn set_port(&mut self, port: $crate::Port<$message>) {
                self.$port = port;
            }
        })+
    };
    (@limits) => { $crate::PortLimits::USUAL };
    (@limits patient) => { $crate::PortLimits::PATIENT };
    (@limits bulky) => { $crate::PortLimits::BULKY };
}
