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

    // Once for each thread that answers: a handler isn't shared between them.
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

    // As actix's handlers are: each request waits for itself.
    always_ready!();

    fn call(&self, mut request: ServiceRequest) -> RouteAnswer {
        let Some(path) = self.table.path_of_request(&mut request) else {
            return self.not_found.call(request);
        };
        match self.table.route_of(path, request.method()) {
            Some(index) => self.handlers[index].call(request),
            None => self.refusal.call(request),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::{TestRequest, call_service, init_service, read_body};
    use actix_web::{App, HttpResponse, http};

    use super::*;
    use crate::route::{ANYONE, Route};

    async fn told(name: &'static str, request: HttpRequest) -> String {
        let parameters: Vec<_> = request.match_info().iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{name} {}", parameters.join("&"))
    }

    #[actix::test]
    async fn a_request_comes_to_the_route_of_its_path_and_method_with_its_parameters() {
        let routes = vec![
            Route::get("/files/{path:.*}", ANYONE, async |request: HttpRequest| told("any", request).await),
            Route::get("/files/all", ANYONE, async |request: HttpRequest| told("all", request).await),
            Route::get("/x/{id}/{change:on|off}", ANYONE, async |request: HttpRequest| told("read", request).await),
            Route::post("/x/{id}/{change:on|off}", ANYONE, async |request: HttpRequest| told("write", request).await),
        ];
        let not_found = async || HttpResponse::NotFound().body("nothing");
        let factory = RouterFactory::new(Arc::new(RouteTable::new(routes)), &not_found);
        let service = init_service(App::new().default_service(factory)).await;
        for (method, path, wanted) in [
            (http::Method::GET, "/files/a/b.csv", "any path=a/b.csv"),
            (http::Method::GET, "/files/all", "all "),
            (http::Method::GET, "/x/1/on", "read id=1&change=on"),
            (http::Method::POST, "/x/2/off", "write id=2&change=off"),
            (http::Method::GET, "/x/1/up", "nothing"),
            (http::Method::GET, "/x/1/on/more", "nothing"),
        ] {
            let request = TestRequest::default().method(method).uri(path).to_request();
            let answer = read_body(call_service(&service, request).await).await;
            assert_eq!(answer, wanted, "{path}");
        }
    }
}
