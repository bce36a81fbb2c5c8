mail.badprua.com
badprua.com
badprua.com,x.org
v=DMARC1; p=monitor; rua=mailto:reports@badprua.com
