mail.second.com
second.com
second.com,x.org
p=reject; v=DMARC1
