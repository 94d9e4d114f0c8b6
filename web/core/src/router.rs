//! Hands a request to the handler of its route. Actix's own router has one list of patterns for each thread that answers,
//! and compares a path with all of them once more: here the [`RouteTable`], which all threads share, is asked.

use std::sync::Arc;

use actix_web::dev::{Service, ServiceFactory, ServiceRequest, ServiceResponse, always_ready};
use actix_web::{Error, HttpRequest, web};
use flowlord_kernel::Code;
use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, try_join_all};

use crate::auth::hooks;
use crate::problem::{Answer, Problem};
use crate::route::{RouteTable, ServeRoute};

type RouteService = <actix_web::Route as ServiceFactory<ServiceRequest>>::Service;
type RouteAnswer = LocalBoxFuture<'static, Result<ServiceResponse, Error>>;

/// What `App::default_service` takes; the app has no other service.
pub struct RouterFactory {
    table: Arc<RouteTable>,
    not_found: actix_web::Route,
}

impl RouterFactory {
    /// `not_found` answers where no path fits.
    pub fn new<A>(table: Arc<RouteTable>, not_found: &impl ServeRoute<A>) -> Self {
        Self { table, not_found: not_found.serve_route(web::route()) }
    }

    /// Answers where the path doesn't take the method.
    fn refusal(&self) -> actix_web::Route {
        let table = self.table.clone();
        web::to(move |request: HttpRequest| {
            let path = request.match_info().as_str();
            let allow = table.allowed_methods(path);
            // The address of a hook holds a token, which no answer shows.
            let shown = hooks::shown(path);
            let detail = format!("{} {shown} isn't possible: the path takes {allow}", request.method());
            let problem = Problem::new(Code::MethodNotAllowed, detail).allowing(allow);
            async { Answer::Err(problem) }
        })
    }
}

impl ServiceFactory<ServiceRequest> for RouterFactory {
    type Response = ServiceResponse;
    type Error = Error;
    type Config = ();
    type Service = Router;
    type InitError = ();
    type Future = LocalBoxFuture<'static, Result<Router, ()>>;

    fn new_service(&self, (): ()) -> Self::Future {
        let handlers = self.table.routes().iter().map(|route| route.handler().new_service(()));
        let (handlers, not_found) = (try_join_all(handlers), self.not_found.new_service(()));
        let refusal = self.refusal().new_service(());
        let table = self.table.clone();
        async move {
            let (handlers, refusal, not_found) = (handlers.await?, refusal.await?, not_found.await?);
            Ok(Router { table, handlers, refusal, not_found })
        }
        .boxed_local()
    }
}

pub struct Router {
    table: Arc<RouteTable>,
    /// In the order of the table's routes.
    handlers: Vec<RouteService>,
    refusal: RouteService,
    not_found: RouteService,
}

impl Service<ServiceRequest> for Router {
    type Response = ServiceResponse;
    type Error = Error;
    type Future = RouteAnswer;

    always_ready!();

    fn call(&self, mut request: ServiceRequest) -> RouteAnswer {
        let Some(path) = self.table.path_of(request.match_info().as_str()) else {
            return self.not_found.call(request);
        };
        path.read_parameters(&mut request);
        match self.table.route_of(path, request.method()) {
            Some(index) => self.handlers[index].call(request),
            None => self.refusal.call(request),
        }
    }
}
