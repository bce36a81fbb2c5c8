# SPDX-License-Identifier: Apache-2.0
"""Makes the mailboxes that the clients share."""

import imaplib


def make_boxes(port, password, accounts, boxes):
    """Creates what is missing, and empties what is there."""
    for account in accounts:
        session = imaplib.IMAP4("127.0.0.1", port, timeout=60)
        session.login(f'"{account}"', password)
        for box in boxes:
            if box != "INBOX":
                session.create(box)
            _, (count,) = session.select(box)
            if int(count):
                session.store("1:*", "+FLAGS.SILENT", r"(\Deleted)")
                session.expunge()
        session.logout()
