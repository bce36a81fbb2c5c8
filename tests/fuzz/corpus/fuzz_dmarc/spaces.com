mail.spaces.com
spaces.com
spaces.com,x.org
v = DMARC1 ;  p = reject ; 
