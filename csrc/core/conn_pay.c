#include "core/conn.h"

uint32_t stwi_conn_endpoint_for(const struct stwi_conn *conn) {
  if (conn->credentials.url.host != NULL)
    return conn->endpoint_at;
  const uint32_t count = (uint32_t)conn->config->url_count;
  return (conn->endpoint_at + stwi_conn_attempt_count(conn)) % count;
}

bool stwi_conn_take_token(struct stwi_conn *conn, stwi_time *at) {
  if (conn->paid_for != 0)
    return true;
  const struct stwi_budgets *budgets = &conn->core->budgets;
  const uint32_t count = (uint32_t)conn->config->url_count;
  const uint32_t from = stwi_conn_endpoint_for(conn);
  stwi_time first = STWI_NEVER;
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t index = (from + i) % count;
    stwi_time when = STWI_NEVER;
    if (budgets->ops->take(budgets->self, conn->accounts[index], conn->core->now, &when)) {
      conn->paid_for = index + 1;
      if (stwi_conn_attempt_count(conn) == 0)
        conn->endpoint_at = index;
      return true;
    }
    first = stwi_earlier(first, when);
  }
  *at = first;
  return false;
}

static bool spend(const struct stwi_conn *conn, uint32_t endpoint) {
  const struct stwi_budgets *budgets = &conn->core->budgets;
  return budgets->ops->spend(budgets->self, conn->accounts[endpoint], conn->core->now);
}

static void give(const struct stwi_conn *conn, uint32_t endpoint) {
  const struct stwi_budgets *budgets = &conn->core->budgets;
  budgets->ops->give(budgets->self, conn->accounts[endpoint]);
}

void stwi_conn_pay(struct stwi_conn *conn, struct stwi_link *link, bool is_hedge) {
  if (is_hedge) {
    link->has_token = spend(conn, link->endpoint);
    return;
  }
  link->has_token = true;
  conn->paid_for = 0;
}

void stwi_conn_pay_young(const struct stwi_conn *conn, uint32_t endpoint) {
  spend(conn, endpoint);
}

void stwi_conn_give_back(struct stwi_conn *conn, struct stwi_link *link) {
  if (link->has_token)
    give(conn, link->endpoint);
  link->has_token = false;
}

void stwi_conn_give_taken(struct stwi_conn *conn) {
  if (conn->paid_for != 0)
    give(conn, conn->paid_for - 1);
  conn->paid_for = 0;
}
