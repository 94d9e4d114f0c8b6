//! One value per endpoint: its path and methods, who may ask, which threads answer, what the audit log says of it, its
//! documentation and its handler. What goes round requests asks the [`RouteTable`] instead of knowing paths.

use std::fmt;

use actix_web::dev::{ResourceDef, ServiceRequest};
use actix_web::http::Method;
use actix_web::{FromRequest, Handler, Responder, web};
use flowlord_domain::Role;
use flowlord_messages::audit::AuditAction;

use crate::openapi::Operation;

/// The rule of a route that lets in requests without a token.
pub const ANYONE: RequiredRole = RequiredRole::Anyone;

const READ: &[Method] = &[Method::GET, Method::HEAD];
const POST: &[Method] = &[Method::POST];
const GET_OR_POST: &[Method] = &[Method::GET, Method::POST];
const DELETE: &[Method] = &[Method::DELETE];

/// The methods of all routes, in the order in which `Allow` names them.
const METHODS: [Method; 4] = [Method::GET, Method::HEAD, Method::POST, Method::DELETE];

/// Whom a route lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequiredRole {
    Anyone,
    Only(Role),
    /// Two roles of which neither covers the other.
    Either(Role, Role),
}

impl RequiredRole {
    pub fn lets_in(self, role: Role) -> bool {
        match self {
            Self::Anyone => true,
            Self::Only(needed) => role.covers_role(needed),
            Self::Either(one, other) => role.covers_role(one) || role.covers_role(other),
        }
    }
}

impl From<Role> for RequiredRole {
    fn from(role: Role) -> Self {
        Self::Only(role)
    }
}

impl fmt::Display for RequiredRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("anyone"),
            Self::Only(role) => role.fmt(f),
            Self::Either(one, other) => write!(f, "{one} or {other}"),
        }
    }
}

/// How a request is treated while there is much to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RouteClass {
    /// Answered by the thread that took the request.
    #[default]
    Direct,
    /// What workers ask all day: its path is looked up first, and it counts as load.
    Work,
    View,
    /// Health and metrics: answered however many connections are open.
    Watch,
}

#[derive(Debug, Clone, Copy)]
pub enum AuditedAction {
    Fixed(AuditAction),
    /// Told by the path or the body of the request, where one route does several things.
    Told(fn(path: &str, body: &str) -> AuditAction),
}

impl AuditedAction {
    pub fn of(self, path: &str, body: &str) -> AuditAction {
        match self {
            Self::Fixed(action) => action,
            Self::Told(read) => read(path, body),
        }
    }
}

pub trait ServeRoute<Args>: Send + Sync + 'static {
    fn serve_route(&self, route: actix_web::Route) -> actix_web::Route;
}

impl<Args, Serving> ServeRoute<Args> for Serving
where
    Args: FromRequest + 'static,
    Serving: Handler<Args, Output: Responder + 'static> + Send + Sync,
{
    fn serve_route(&self, route: actix_web::Route) -> actix_web::Route {
        route.to(self.clone())
    }
}

pub struct Route {
    pub path: &'static str,
    pub methods: &'static [Method],
    pub role: RequiredRole,
    pub class: RouteClass,
    pub audited: Option<AuditedAction>,
    /// Whether it waits on purpose, so that its time says nothing.
    pub is_long_poll: bool,
    /// Whether it tells of this node, or of what all nodes have: then a follower answers it, too.
    is_local: bool,
    /// What the OpenAPI document says; pages have none.
    pub(crate) operation: Option<Operation>,
    // Made anew for each thread that answers: actix-web shares no handler between threads.
    handler: Box<dyn Fn() -> actix_web::Route + Send + Sync>,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Route({:?} {})", self.methods, self.path)
    }
}

impl Route {
    fn new<A>(
        methods: &'static [Method],
        path: &'static str,
        role: impl Into<RequiredRole>,
        handler: impl ServeRoute<A>,
    ) -> Self {
        Self {
            path,
            methods,
            role: role.into(),
            class: RouteClass::default(),
            audited: None,
            is_long_poll: false,
            is_local: false,
            operation: None,
            handler: Box::new(move || handler.serve_route(web::route())),
        }
    }

    /// Takes HEAD, too.
    pub fn get<A>(path: &'static str, role: impl Into<RequiredRole>, handler: impl ServeRoute<A>) -> Self {
        Self::new(READ, path, role, handler)
    }

    pub fn view<A>(path: &'static str, role: impl Into<RequiredRole>, handler: impl ServeRoute<A>) -> Self {
        Self::get(path, role, handler).class(RouteClass::View)
    }

    pub fn post<A>(path: &'static str, role: impl Into<RequiredRole>, handler: impl ServeRoute<A>) -> Self {
        Self::new(POST, path, role, handler)
    }

    /// Changes something by GET, too, as in the reference system.
    pub fn get_or_post<A>(path: &'static str, role: impl Into<RequiredRole>, handler: impl ServeRoute<A>) -> Self {
        Self::new(GET_OR_POST, path, role, handler)
    }

    pub fn delete<A>(path: &'static str, role: impl Into<RequiredRole>, handler: impl ServeRoute<A>) -> Self {
        Self::new(DELETE, path, role, handler)
    }

    pub fn class(self, class: RouteClass) -> Self {
        Self { class, ..self }
    }

    pub fn work(self) -> Self {
        self.class(RouteClass::Work)
    }

    pub fn long_poll(self) -> Self {
        Self { is_long_poll: true, ..self }
    }

    /// Every node answers it by itself, whatever its class.
    pub fn local(self) -> Self {
        Self { is_local: true, ..self }
    }

    /// Whether a node that doesn't lead its cluster answers it.
    pub fn is_for_followers(&self) -> bool {
        self.is_local || matches!(self.class, RouteClass::View | RouteClass::Watch)
    }

    /// Who carries it out stands in the audit log, with this action.
    pub fn audited(self, action: AuditAction) -> Self {
        Self { audited: Some(AuditedAction::Fixed(action)), ..self }
    }

    /// The same, with an action that the request's path or body tells.
    pub fn audited_as(self, read: fn(path: &str, body: &str) -> AuditAction) -> Self {
        Self { audited: Some(AuditedAction::Told(read)), ..self }
    }

    pub fn is_documented(&self) -> bool {
        self.operation.is_some()
    }

    pub(crate) fn handler(&self) -> actix_web::Route {
        (self.handler)()
    }

    /// What the OpenAPI document says of each of its methods.
    fn operations(&self) -> impl Iterator<Item = Operation> {
        // HEAD is a GET without its body: documented, it would double every path.
        let methods = self.methods.iter().filter(|method| **method != Method::HEAD);
        self.operation
            .iter()
            .flat_map(move |operation| methods.clone().map(move |method| operation.of_method(method, self.class)))
    }
}

#[derive(Debug)]
pub(crate) struct RoutedPath {
    pattern: &'static str,
    definition: ResourceDef,
    /// Their places in the table.
    routes: Vec<usize>,
    allow: String,
}

#[derive(Debug)]
pub struct RouteTable {
    routes: Vec<Route>,
    /// In the order in which requests are compared with them.
    paths: Vec<RoutedPath>,
}

#[derive(Debug, Clone, Copy)]
pub struct RouteMatch<'a> {
    /// None where no path fits.
    pub pattern: Option<&'static str>,
    /// None, too, where the path doesn't take the method.
    pub route: Option<&'a Route>,
    /// The role that the request needs.
    pub role: RequiredRole,
}

impl RouteMatch<'_> {
    pub fn class(&self) -> RouteClass {
        self.route.map_or(RouteClass::Direct, |route| route.class)
    }

    pub fn is_watch(&self) -> bool {
        self.class() == RouteClass::Watch
    }
}

impl RouteTable {
    pub fn new(routes: Vec<Route>) -> Self {
        let mut paths: Vec<RoutedPath> = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            match paths.iter_mut().find(|path| path.pattern == route.path) {
                Some(path) => path.routes.push(index),
                None => paths.push(RoutedPath {
                    pattern: route.path,
                    definition: ResourceDef::new(route.path),
                    routes: vec![index],
                    allow: String::new(),
                }),
            }
        }
        for path in &mut paths {
            path.allow = allowed_methods(path.routes.iter().map(|index| &routes[*index]));
        }
        // What workers ask comes first, as each path costs a comparison. A path without parameters comes before those
        // that fit it, too: `/workflows/refresh` before `/workflows/{file:.*}`.
        paths.sort_by_key(|path| {
            let is_work = path.routes.iter().any(|index| routes[*index].class == RouteClass::Work);
            (!is_work, path.pattern.contains('{'))
        });
        Self { routes, paths }
    }

    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// What the OpenAPI document describes, in the order of the routes.
    pub fn operations(&self) -> Vec<Operation> {
        self.routes.iter().flat_map(Route::operations).collect()
    }

    // `path` is the one that the router compares, not the one that was sent: `%74asks` is `tasks`.
    pub fn find(&self, method: &Method, path: &str) -> RouteMatch<'_> {
        let Some(found) = self.path_of(path) else {
            // No path is open because nobody thought of it.
            let reads = READ.contains(method);
            let role = if reads { Role::Viewer } else { Role::Operator };
            return RouteMatch { pattern: None, route: None, role: role.into() };
        };
        let route = self.route_of(found, method).map(|index| &self.routes[index]);
        // Who may use the path hears which methods it takes.
        let role = route.unwrap_or(&self.routes[found.routes[0]]).role;
        RouteMatch { pattern: Some(found.pattern), route, role }
    }

    /// The first pattern that fits. What lets a request in and what answers it both ask here: they can't disagree.
    pub(crate) fn path_of(&self, path: &str) -> Option<&RoutedPath> {
        self.paths.iter().find(|known| known.definition.is_match(path))
    }

    /// The same; the request then has what stands in its path for `{name}`.
    // A pattern that doesn't fit leaves the request as it is, so that one comparison finds the path and reads it.
    pub(crate) fn path_of_request(&self, request: &mut ServiceRequest) -> Option<&RoutedPath> {
        self.paths.iter().find(|known| known.definition.capture_match_info(request))
    }

    /// The place in the table of the route that takes the method.
    pub(crate) fn route_of(&self, path: &RoutedPath, method: &Method) -> Option<usize> {
        path.routes.iter().copied().find(|index| self.routes[*index].methods.contains(method))
    }

    /// Empty where no path fits.
    pub(crate) fn allowed_methods(&self, path: &str) -> &str {
        self.path_of(path).map_or("", |path| &path.allow)
    }
}

fn allowed_methods<'a>(routes: impl Iterator<Item = &'a Route>) -> String {
    let taken: Vec<&Method> = routes.flat_map(|route| route.methods).collect();
    let named: Vec<&str> = METHODS.iter().filter(|method| taken.contains(method)).map(Method::as_str).collect();
    named.join(", ")
}
