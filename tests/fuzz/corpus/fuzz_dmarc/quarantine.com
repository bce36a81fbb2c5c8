mail.quarantine.com
quarantine.com
quarantine.com,x.org
v=DMARC1; p=quarantine
