"""Places orders in PostgreSQL from Python, each with its job: both or neither.

The queue is in the database of the orders, so one transaction writes both.

    pip install "psycopg[binary]"
    PULPO_QUEUE=postgres://postgres@localhost/shop cargo run -p pulpo-examples --features postgres --bin python_producer migrate
    python examples/python/orders.py postgres://postgres@localhost/shop
    PULPO_QUEUE=postgres://postgres@localhost/shop cargo run -p pulpo-examples --features postgres --bin python_producer
"""

import json
import sys

import psycopg


def place_order(connection, schema, customer, count):
    """Places one order, which a job confirms by e-mail; its id is the return value."""
    with connection.transaction():
        order = connection.execute(
            "INSERT INTO orders(customer, count) VALUES (%s, %s) RETURNING id", (customer, count)
        ).fetchone()[0]
        body = {"to": customer, "subject": f"your order {order}"}
        connection.execute(f"SELECT {schema}.publish('send_email', %s::jsonb)", (json.dumps(body),))
        if count > 100:
            # The order and its job are rolled back together.
            raise ValueError("only 100 are in stock")
    return order


def main():
    url = sys.argv[1]
    # The schema of the queue, where it is not the default one.
    schema = sys.argv[2] if len(sys.argv) > 2 else "pulpo"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS orders(id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY, "
            "customer text NOT NULL, count integer NOT NULL)"
        )
        for customer, count in [("ada@example.com", 1), ("bob@example.com", 101), ("eve@example.com", 100)]:
            try:
                print(f"placed order {place_order(connection, schema, customer, count)}")
            except ValueError as error:
                print(f"refused: {error}")


if __name__ == "__main__":
    main()
