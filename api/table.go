package api

import "github.com/hauberk/hauberk/store/cases"

// table lists every operation; openapi.yaml documents the same, a test
// compares them.
func (s *Server) table() []route {
	return []route{
		{method: "GET", path: "/api/openapi.yaml", name: "getDocument", open: true, handle: s.getDocument},

		{method: "POST", path: "/api/v1/setup", name: "setUp", role: cases.RoleAdmin, local: true, handle: s.setUp},
		{method: "POST", path: "/api/v1/session", name: "logIn", open: true, handle: s.logIn},
		{method: "GET", path: "/api/v1/session", name: "getSession", role: cases.RoleViewer, early: true, handle: s.getSession},
		{method: "DELETE", path: "/api/v1/session", name: "logOut", role: cases.RoleViewer, early: true, handle: s.logOut},
		{method: "PUT", path: "/api/v1/session/password", name: "changePassword", role: cases.RoleViewer, early: true, handle: s.changePassword},

		{method: "GET", path: "/api/v1/users", name: "listUsers", role: cases.RoleAdmin, handle: s.listUsers},
		{method: "POST", path: "/api/v1/users", name: "createUser", role: cases.RoleAdmin, handle: s.createUser},
		{method: "PUT", path: "/api/v1/users/{name}/role", name: "setRole", role: cases.RoleAdmin, handle: s.setRole},
		{method: "PATCH", path: "/api/v1/users/{name}", name: "updateUser", role: cases.RoleAdmin, handle: s.updateUser},
		{method: "PUT", path: "/api/v1/users/{name}/password", name: "resetPassword", role: cases.RoleAdmin, handle: s.resetPassword},
		{method: "DELETE", path: "/api/v1/users/{name}", name: "deleteUser", role: cases.RoleAdmin, handle: s.deleteUser},

		{method: "GET", path: "/api/v1/tokens", name: "listTokens", role: cases.RoleViewer, handle: s.listTokens},
		{method: "POST", path: "/api/v1/tokens", name: "createToken", role: cases.RoleViewer, handle: s.createToken},
		{method: "DELETE", path: "/api/v1/tokens/{id}", name: "deleteToken", role: cases.RoleViewer, handle: s.deleteToken},

		{method: "GET", path: "/api/v1/enrolment-tokens", name: "listEnrolmentTokens", role: cases.RoleAdmin, handle: s.listEnrolmentTokens},
		{method: "POST", path: "/api/v1/enrolment-tokens", name: "createEnrolmentToken", role: cases.RoleAdmin, handle: s.createEnrolmentToken},
		{method: "DELETE", path: "/api/v1/enrolment-tokens/{id}", name: "deleteEnrolmentToken", role: cases.RoleAdmin, handle: s.deleteEnrolmentToken},

		{method: "GET", path: "/api/v1/nodes", name: "listNodes", role: cases.RoleViewer, handle: s.listNodes},
		{method: "GET", path: "/api/v1/nodes/{id}", name: "getNode", role: cases.RoleViewer, handle: s.getNode},
		{method: "PUT", path: "/api/v1/nodes/{id}/labels", name: "setLabels", role: cases.RoleAdmin, handle: s.setLabels},
		{method: "POST", path: "/api/v1/nodes/{id}/revoke", name: "revokeNode", role: cases.RoleAdmin, handle: s.revokeNode},
		{method: "GET", path: "/api/v1/nodes/{id}/config", name: "getNodeConfig", role: cases.RoleViewer, handle: s.getNodeConfig},
		{method: "GET", path: "/api/v1/gateways", name: "listGateways", role: cases.RoleViewer, handle: s.listGateways},

		{method: "GET", path: "/api/v1/alerts", name: "listAlerts", role: cases.RoleViewer, handle: s.listAlerts},
		{method: "GET", path: "/api/v1/alerts/live", name: "followAlerts", role: cases.RoleViewer, stream: true, handle: s.followAlerts},
		{method: "GET", path: "/api/v1/alerts/{id}", name: "getAlert", role: cases.RoleViewer, handle: s.getAlert},
		{method: "POST", path: "/api/v1/alerts/state", name: "changeAlerts", role: cases.RoleAnalyst, handle: s.changeAlerts},
		{method: "POST", path: "/api/v1/alerts/{id}/state", name: "changeAlert", role: cases.RoleAnalyst, handle: s.changeAlert},
		{method: "POST", path: "/api/v1/alerts/{id}/exception", name: "exceptAlert", role: cases.RoleAnalyst, handle: s.exceptAlert},

		{method: "GET", path: "/api/v1/events/query", name: "queryEvents", role: cases.RoleViewer, long: true, handle: s.queryEvents},
		{method: "GET", path: "/api/v1/events/live", name: "followEvents", role: cases.RoleViewer, stream: true, handle: s.followEvents},
		{method: "GET", path: "/api/v1/stream", name: "stream", role: cases.RoleViewer, stream: true, handle: s.stream},

		{method: "GET", path: "/api/v1/config", name: "listConfigs", role: cases.RoleViewer, handle: s.listConfigs},
		{method: "GET", path: "/api/v1/config/{kind}/{scope}", name: "getConfig", role: cases.RoleViewer, handle: s.getConfig},
		{method: "PUT", path: "/api/v1/config/{kind}/{scope}", name: "putConfig", role: cases.RoleAdmin, handle: s.putConfig},
		{method: "DELETE", path: "/api/v1/config/{kind}/{scope}", name: "deleteConfig", role: cases.RoleAdmin, handle: s.deleteConfig},
		{method: "GET", path: "/api/v1/config/{kind}/{scope}/versions", name: "listConfigVersions", role: cases.RoleViewer, handle: s.listConfigVersions},
		{method: "GET", path: "/api/v1/config/{kind}/{scope}/diff", name: "diffConfig", role: cases.RoleViewer, handle: s.diffConfig},
		{method: "POST", path: "/api/v1/config/{kind}/{scope}/rollback", name: "rollBackConfig", role: cases.RoleAdmin, handle: s.rollBackConfig},

		{method: "GET", path: "/api/v1/commands", name: "listCommands", role: cases.RoleViewer, handle: s.listCommands},
		{method: "POST", path: "/api/v1/commands", name: "sendCommand", role: cases.RoleAdmin, handle: s.sendCommand},
		{method: "GET", path: "/api/v1/commands/{id}", name: "getCommand", role: cases.RoleViewer, handle: s.getCommand},
		{method: "DELETE", path: "/api/v1/commands/{id}", name: "cancelCommand", role: cases.RoleAdmin, handle: s.cancelCommand},
		{method: "GET", path: "/api/v1/mode", name: "listModes", role: cases.RoleViewer, handle: s.listModes},
		{method: "PUT", path: "/api/v1/mode", name: "setMode", role: cases.RoleAdmin, handle: s.setMode},

		{method: "GET", path: "/api/v1/exceptions", name: "listExceptions", role: cases.RoleViewer, handle: s.listExceptions},
		{method: "POST", path: "/api/v1/exceptions", name: "createException", role: cases.RoleAnalyst, handle: s.createException},
		{method: "DELETE", path: "/api/v1/exceptions/{id}", name: "deleteException", role: cases.RoleAnalyst, handle: s.deleteException},

		{method: "GET", path: "/api/v1/rules", name: "listRules", role: cases.RoleViewer, handle: s.listRules},
		{method: "POST", path: "/api/v1/rules/check", name: "checkRules", role: cases.RoleViewer, quiet: true, handle: s.checkRules},

		{method: "GET", path: "/api/v1/status", name: "getStatus", role: cases.RoleViewer, handle: s.getStatus},
		{method: "GET", path: "/api/v1/metrics", name: "getMetrics", role: cases.RoleViewer, handle: s.getMetrics},
		{method: "GET", path: "/api/v1/audit", name: "listAudit", role: cases.RoleAdmin, handle: s.listAudit},
		{method: "GET", path: "/api/v1/backup", name: "backUp", role: cases.RoleAdmin, long: true, audited: true, handle: s.backUp},
		{method: "POST", path: "/api/v1/restore", name: "restore", role: cases.RoleAdmin, local: true, long: true, handle: s.restore},
	}
}
