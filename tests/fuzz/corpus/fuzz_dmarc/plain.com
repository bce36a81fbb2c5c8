mail.plain.com
plain.com
plain.com,x.org
v=DMARC1; p=quarantine
